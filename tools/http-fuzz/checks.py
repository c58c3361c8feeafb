"""What schemathesis is told of this API. Loaded through SCHEMATHESIS_HOOKS."""

import json
import os
import random
import time

import schemathesis
from schemathesis.generation import GenerationMode

# Rules that a schema cannot say: a request that follows its schema may be refused with a message that holds one of
# these. Each is tested by name in server/tests.
BEYOND_SCHEMAS = (
    "cursor",
    "did and from_dids",
    "more than two hours ahead",
    "parameter collection or prefix is required",
    "parameter step is too short",
    "parameters collection and prefix take at most",
    "parameter q takes at most",
    "parameter collection takes at most",
    # Paths are at most 512 bytes together with what a schema can count as characters.
    "hydrate",
    "params",
    # No client of requests and answers opens one.
    "/subscribe is a websocket",
)

# Failures that are not the server's: it has no edge cache, or the servers that it asks are made up like the requests.
OF_OTHERS = (
    "MethodNotImplemented",
    "ServerError",
    "ResolutionFailed",
    "Failed",
    "UpstreamFailure",
)

# Links that the served index holds: lists of target, collection, path, account and time.
with open(os.environ["HTTP_FUZZ_LINKS"], encoding="utf-8") as file:
    LINKS = json.load(file)
# Texts made up by a machine find nothing in an index. So many of the requests that follow the document ask for a link
# that is there, with all their other parameters as they are.
SHARE = 0.7


def hour(start_us, hours):
    """RFC 3339 of a time some hours after another."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_us / 1e6 + hours * 3600))


def known_items(body):
    """Puts links that are there into a body that asks for links."""
    items = body.get("items") if isinstance(body, dict) else None
    for item in items if isinstance(items, list) else ():
        target, collection, path, *_ = random.Random(json.dumps(item, sort_keys=True)).choice(LINKS)
        item.update(subject=target, source=collection + ":" + path[1:])


@schemathesis.hook
def before_call(ctx, case, kwargs):
    query = case.query
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    known_items(case.body)
    if not query:
        return
    choose = random.Random(json.dumps(query, sort_keys=True, default=str))
    if choose.random() > SHARE:
        return
    target, collection, path, did, start_us = choose.choice(LINKS)
    known = {
        "subject": target,
        "target": target,
        "source": collection + ":" + path[1:],
        "collection": collection,
        "path": path,
        "from_dids": did,
        "did": did,
        "linkDid": did,
        "prefix": ".".join(collection.split(".")[:2]),
        "q": collection.split(".")[-1],
        # Times at random are mostly in another century.
        "since": hour(start_us, choose.randrange(-30, 60)),
        "until": hour(start_us, choose.randrange(30, 90)),
    }
    for name, value in query.items():
        if name in known and value:
            query[name] = [known[name], *value[1:]] if isinstance(value, list) else known[name]


@schemathesis.check
def valid_requests_are_answered(ctx, response, case):
    """What follows the document is not refused, but by a rule that the document tells in words."""
    if response.status_code != 400 or case.meta is None:
        return
    if case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    message = response.json()["message"]
    assert any(words in message for words in BEYOND_SCHEMAS), f"refused: {message}"


@schemathesis.check
def failures_are_those_of_others(ctx, response, case):
    """No request makes this server fail."""
    if response.status_code >= 500:
        name = response.json()["error"]
        assert name in OF_OTHERS, f"failed: {response.text}"
