// The page /stream: connects to /subscribe with what the form says, and shows what comes, newest first.
"use strict";

const LISTS = ["wantedSubjects", "wantedSubjectPrefixes", "wantedSubjectDids", "wantedSources"];
const FLAGS = ["instant", "deletes"];
// Rows that are kept.
const ROWS = 200;
// Pauses between attempts to connect, in milliseconds.
const RETRY_FIRST = 500;
const RETRY_LAST = 30000;

const form = document.getElementById("filters");
const state = document.getElementById("state");
const counted = document.getElementById("counted");
const rows = document.getElementById("rows");
const pause = document.getElementById("pause");

let socket = null;
// What was asked for last: the form may hold what is half typed.
let asked = { fixed: "", lists: {} };
// What the present connection was opened with.
let opened = "";
// Where to go on after the connection broke.
let cursor = "";
let retry = RETRY_FIRST;
let timer = 0;
// Frames that are not shown yet, oldest first, and how many more came than are kept.
let waiting = [];
let paused = false;
let drawing = false;
let count = 0;
let recent = 0;
let connection = "Not connected";

function values(name) {
  return form.elements[name].value.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

// The form as the address of this page has it.
function readAddress() {
  const query = new URLSearchParams(location.search);
  for (const name of LISTS) {
    const given = query.getAll(name);
    if (given.length > 0) form.elements[name].value = given.join("\n");
  }
  for (const name of FLAGS) {
    if (query.has(name)) form.elements[name].checked = query.get(name) === "true";
  }
  const more = form.querySelector("details");
  more.open = ["wantedSubjects", "wantedSubjectPrefixes"].some((name) => values(name).length > 0);
}

function writeAddress() {
  const query = new URLSearchParams();
  for (const name of LISTS) for (const value of values(name)) query.append(name, value);
  for (const name of FLAGS) query.set(name, form.elements[name].checked);
  history.replaceState(null, "", "?" + query);
}

// What can only be said when a connection is opened.
function fixedOptions() {
  const query = new URLSearchParams({ requireHello: "true", instant: form.elements.instant.checked });
  query.append("wantedOperations", "create");
  if (form.elements.deletes.checked) query.append("wantedOperations", "delete");
  return query.toString();
}

// Takes the form as what is asked for.
function ask() {
  asked = { fixed: fixedOptions(), lists: {} };
  for (const name of LISTS) asked.lists[name] = values(name);
}

function sendLists() {
  socket.send(JSON.stringify({ type: "options_update", payload: asked.lists }));
}

function connect() {
  clearTimeout(timer);
  if (socket) {
    socket.onclose = socket.onmessage = null;
    socket.close();
  }
  opened = asked.fixed;
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  const from = cursor === "" ? "" : "&cursor=" + cursor;
  socket = new WebSocket(scheme + location.host + "/subscribe?" + opened + from);
  say("Connecting");
  socket.onopen = () => {
    sendLists();
    say("Connected");
  };
  socket.onmessage = (message) => {
    retry = RETRY_FIRST;
    take(JSON.parse(message.data));
  };
  socket.onclose = (event) => {
    socket = null;
    const why = event.reason === "" ? "No connection" : "Closed: " + event.reason;
    // What the server refuses it would refuse again.
    if (event.code === 1008 && event.reason.startsWith("wanted")) {
      say(why);
      return;
    }
    say(why + "; trying again in " + Math.ceil(retry / 1000) + " s");
    timer = setTimeout(connect, retry);
    retry = Math.min(2 * retry, RETRY_LAST);
  };
}

function take(frame) {
  if (frame.kind === "link") {
    cursor = frame.cursor;
    count += 1;
    recent += 1;
  }
  waiting.push(frame);
  if (waiting.length > ROWS) waiting.shift();
  draw();
}

function draw() {
  if (drawing || paused || waiting.length === 0) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (paused) return;
    const fresh = document.createDocumentFragment();
    for (const frame of waiting.reverse()) fresh.append(row(frame));
    waiting = [];
    rows.prepend(fresh);
    while (rows.childElementCount > ROWS) rows.lastElementChild.remove();
  });
}

function element(kind, name, text) {
  const made = document.createElement(kind);
  if (name !== "") made.className = name;
  made.textContent = text;
  return made;
}

// A target with the way to all links to it.
function target(text) {
  const link = element("a", "", text);
  link.href = "/links/all?target=" + encodeURIComponent(text);
  return link;
}

function row(frame) {
  const item = document.createElement("li");
  if (frame.kind !== "link") {
    item.className = "info";
    item.textContent = JSON.stringify(frame.info || frame);
    return item;
  }
  const link = frame.link;
  const gone = link.operation === "delete";
  item.className = gone ? "gone" : "new";
  const time = element("time", "", new Date(frame.time_us / 1000).toISOString().slice(11, 23));
  time.dateTime = new Date(frame.time_us / 1000).toISOString();
  item.append(time, " ", element("b", "", gone ? "gone" : "new"), " ", element("code", "", link.source));
  if (gone) item.append(" (" + link.cause + ")");
  const to = element("div", "", "");
  to.append(target(link.subject));
  const from = element("div", "from", "from ");
  from.append(target(link.source_record));
  item.append(to, from);
  return item;
}

function say(text) {
  connection = text;
  tell();
}

// Only the first is read out when it changes: the count changes all the time.
function tell() {
  const text = connection + (paused ? ", paused." : ".");
  if (state.textContent !== text) state.textContent = text;
  const held = paused ? ", " + waiting.length + " held" : "";
  counted.textContent = count.toLocaleString("en") + " links" + held + ".";
}

function setPaused(value) {
  paused = value;
  pause.setAttribute("aria-pressed", String(paused));
  pause.firstChild.textContent = paused ? "Go on " : "Pause ";
  tell();
  draw();
}

function clearRows() {
  rows.replaceChildren();
  waiting = [];
  count = 0;
  tell();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
  writeAddress();
  rows.replaceChildren();
  waiting = [];
  if (socket && socket.readyState === WebSocket.OPEN && opened === asked.fixed) {
    sendLists();
  } else {
    // Other options begin in the present.
    cursor = "";
    retry = RETRY_FIRST;
    connect();
  }
});
pause.addEventListener("click", () => setPaused(!paused));
document.getElementById("clear").addEventListener("click", clearRows);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("textarea, input")) {
    if (event.key === "Escape") rows.focus();
    return;
  }
  // Single letters are for those alone who are in the list or at its buttons: elsewhere they may be typed or spoken by chance.
  if (!event.target.closest("#rows, .bar")) return;
  if (event.key === "p") setPaused(!paused);
  else if (event.key === "c") clearRows();
  else if (event.key === "/") form.elements.wantedSources.focus();
  else return;
  event.preventDefault();
});
setInterval(() => {
  if (recent > 0 || paused) tell();
  recent = 0;
}, 1000);

readAddress();
ask();
connect();
