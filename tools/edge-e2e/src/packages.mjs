// The packages, out of the directory that `run` installed them into: no other file here names one.

import { createRequire } from 'node:module'

// Set before they are loaded: their logs would hide what the run says.
process.env.LOG_ENABLED = 'false'
const load = createRequire(`${process.env.EDGE_E2E_PACKAGES}/package.json`)

const { PDS, envToCfg, envToSecrets } = load('@atproto/pds')
const { PlcServer, MockDatabase } = load('@did-plc/server')
const { Client: PlcClient } = load('@did-plc/lib')
const { Secp256k1Keypair } = load('@atproto/crypto')
const { decodeAll: decodeCbor } = load('@atproto/lex-cbor')
const { lexToJson } = load('@atproto/lexicon')
const { readCar, readCarWithRoot, blocksToCarFile, BlockMap, verifyRecords, verifyProofs, cborToLex, signCommit } = load('@atproto/repo')
const { WebSocket, WebSocketServer } = load('ws')

export const packages = {
  PDS, envToCfg, envToSecrets,
  PlcServer, MockDatabase, PlcClient,
  Secp256k1Keypair,
  decodeCbor, lexToJson,
  readCar, readCarWithRoot, blocksToCarFile, BlockMap, verifyRecords, verifyProofs, cborToLex, signCommit,
  WebSocket, WebSocketServer,
}
