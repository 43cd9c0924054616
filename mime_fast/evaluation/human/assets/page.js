
"use strict";
// One annotator's items: answers live in `state`, in this browser's storage where that is allowed, and in the CSV saved.
const data = JSON.parse(document.getElementById("data").textContent);
const STORE = `mime_fast/${data.study}/${data.annotator}`;
const ALLOWED = { ratings: data.ratings, ab: data.choices };
const NAMES = { ratings: "ratings", ab: "comparisons" };
const rowOf = new Map(data.parts.flatMap((part) => part.rows.map((row) => [row.id, { row, part }])));
const state = { answers: {}, saved: {}, at: {}, part: data.parts[0].kind };
let stored = true;

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const part = () => data.parts.find((one) => one.kind === state.part);
const place = () => state.at[state.part] ?? 0;
const row = () => part().rows[place()];
const answer = (one, column) => state.answers[one.id]?.[column] ?? "";
const complete = (one, of) => of.answers.every((column) => answer(one, column));
const done = (of) => of.rows.filter((one) => complete(one, of)).length;
const whole = (of) => done(of) === of.rows.length;
const atEnd = () => place() === part().rows.length - 1;
const following = () => (whole(part()) ? data.parts.find((one) => !whole(one)) : undefined); // the part to go on to

// ---- keeping answers

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function say(text, good = false) {
  $("state").textContent = text;
  $("state").classList.toggle("good", good);
}

function accept(answers) {
  let refused = 0;
  for (const [id, cells] of Object.entries(answers ?? {})) {
    const known = rowOf.get(id);
    for (const [column, value] of Object.entries(cells ?? {})) {
      const fits = known?.part.answers.includes(column) && ALLOWED[known.part.kind].includes(value);
      if (fits) (state.answers[id] ??= {})[column] = value;
      else refused += 1;
    }
  }
  return refused;
}

function keep() {
  if (!stored) return;
  try {
    localStorage.setItem(STORE, JSON.stringify(state));
    say("Kept in this browser. Save the CSV when you are done.");
  } catch {
    warnNotStored();
  }
}

function warnNotStored() {
  stored = false;
  notice("This browser keeps nothing between visits. Save the CSV before you leave, and open it here to go on.");
}

function restore(text) {
  const kept = JSON.parse(text);
  accept(kept.answers);
  for (const one of data.parts) {
    const at = kept.at?.[one.kind];
    if (Number.isInteger(at) && at >= 0 && at < one.rows.length) state.at[one.kind] = at;
    if (typeof kept.saved?.[one.kind] === "string") state.saved[one.kind] = kept.saved[one.kind];
    if (kept.part === one.kind) state.part = one.kind;
  }
}

function recall() {
  let text = null;
  try {
    localStorage.setItem(`${STORE}/test`, "1");
    localStorage.removeItem(`${STORE}/test`);
    text = localStorage.getItem(STORE);
  } catch {
    warnNotStored();
  }
  try {
    if (text) restore(text);
  } catch {
    notice("What this browser had kept cannot be read. Open your last saved CSV to go on.");
  }
  return Boolean(text);
}

// ---- the CSV, in the form of the sheets

const context = (one) => one.turns.map(([who, text]) => `${who}: ${text}`).join("\n");
const quote = (text) => `"${text.replaceAll('"', '""')}"`;

function cell(one, column) {
  if (column === "item") return one.id;
  if (column === "context") return context(one);
  return column in one.replies ? `${data.listener}: ${one.replies[column]}` : answer(one, column);
}

function csv(of) {
  const lines = [of.columns, ...of.rows.map((one) => of.columns.map((column) => cell(one, column)))];
  return lines.map((cells) => `${cells.map(quote).join(",")}\r\n`).join("");
}

const answersOf = (of) => JSON.stringify(of.rows.map((one) => of.answers.map((column) => answer(one, column))));
const nothingIn = (of) => of.rows.every((one) => of.answers.every((column) => !answer(one, column)));
const unsaved = (of) => !nothingIn(of) && state.saved[of.kind] !== answersOf(of);

function save(of) {
  const url = URL.createObjectURL(new Blob(["\ufeff", csv(of)], { type: "text/csv;charset=utf-8" }));
  make("a", { href: url, download: of.file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
  state.saved[of.kind] = answersOf(of);
  keep();
  refresh();
  say(`${of.file} was handed to the browser to save: ${done(of)} of ${of.rows.length} items answered.`, true);
}

function parseCsv(text) {
  const first = text.slice(0, text.indexOf("\n"));
  const sign = [",", ";", "\t"].reduce((a, b) => (first.split(b).length > first.split(a).length ? b : a));
  const rows = [[]];
  const pattern = new RegExp(`(?:"((?:[^"]|"")*)"|([^"${sign}\\r\\n]*))(${sign}|\\r?\\n|\\r|$)`, "gy");
  for (let found; pattern.lastIndex < text.length && (found = pattern.exec(text)); ) {
    rows.at(-1).push((found[1]?.replaceAll('""', '"') ?? found[2]).trim());
    if (found[3] !== sign) rows.push([]);
  }
  return rows;
}

function load(text) {
  const [header, ...rows] = parseCsv(text.replace(/^\ufeff/, ""));
  const known = rows.filter((cells) => rowOf.has(cells[header.indexOf("item")]));
  if (!known.length) {
    notice("That file has no item of this page; nothing was read.");
    return;
  }
  const found = {};
  for (const cells of known) {
    const id = cells[header.indexOf("item")];
    const given = rowOf.get(id).part.answers.map((column) => [column, cells[header.indexOf(column)] ?? ""]);
    found[id] = Object.fromEntries(given.filter(([, value]) => value));
  }
  const refused = accept(found);
  notice(refused ? `${refused} answers in that file are not allowed and were left out.` : "");
  keep();
  show();
  say(`${known.length} items were read from the file.`, true);
}

// ---- what is on the screen

function turn([who, text]) {
  const side = who === data.listener ? "listener" : "speaker";
  return make("li", { className: side }, make("span", { className: "who" }, who), make("span", { className: "said" }, text));
}

function reply([column, text]) {
  const title = column === "reply" ? "Listener's reply" : `Reply ${column}`;
  const said = make("p", { className: `said${text === data.nothing ? " empty" : ""}` }, text);
  return make("section", { ariaLabel: title }, make("h3", {}, title), said);
}

function question(column) {
  const ratings = state.part === "ratings";
  const options = ALLOWED[state.part].map((value) => {
    const input = make("input", { type: "radio", name: column, value, checked: answer(row(), column) === value });
    input.addEventListener("change", () => set(column, value));
    const text = ratings ? value : value === "tie" ? "Tie" : `${value} is better`;
    return make("label", {}, input, make("span", {}, text));
  });
  const ends = ratings ? [["worst"], ["best"]].map(([text]) => make("span", { className: "end" }, text)) : ["", ""];
  const legend = ratings
    ? make("legend", {}, make("b", {}, column), make("span", {}, data.criteria[column]))
    : make("legend", {}, make("b", { style: "text-transform: none" }, data.comparison));
  const order = ratings ? options : [options[0], options[2], options[1]];
  return make("fieldset", { id: `ask-${column}` }, legend, make("div", { className: "scale" }, ends[0], ...order, ends[1]));
}

function guide() {
  const keys = state.part === "ratings"
    ? [["1 – 5", "rate the marked scale and go to the next one"]]
    : [["a, b, t", "A is better, B is better, tie"]];
  keys.push(["Enter, n", "next item"], ["p", "previous item"], ["← →", "previous, next item (inside a scale: another answer)"]);
  keys.push(["Tab", "next scale or button"], ["Delete", "take the marked answer back"]);
  const list = (pairs, wrap) => make("dl", {}, ...pairs.flatMap(([a, b]) => [make("dt", {}, wrap(a)), make("dd", {}, b)]));
  const criteria = state.part === "ratings" ? [list(Object.entries(data.criteria), (text) => text)] : [];
  $("guide-text").replaceChildren(make("p", {}, part().guide), ...criteria, list(keys, (text) => make("kbd", {}, text)));
}

function show(focus = false) {
  $("place").textContent = `Item ${place() + 1} of ${part().rows.length}`;
  $("context").replaceChildren(...row().turns.map(turn));
  $("replies").replaceChildren(...Object.entries(row().replies).map(reply));
  $("questions").replaceChildren(...part().answers.map(question));
  guide();
  refresh();
  if (focus) {
    $("place").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

function refresh() {
  const [ready, all] = [done(part()), part().rows.length];
  Object.assign($("progress"), { max: all, value: ready });
  $("count").textContent = `${ready} of ${all} ${NAMES[state.part]} answered`;
  $("previous").disabled = place() === 0;
  $("next").disabled = atEnd() && !following();
  $("next").textContent = atEnd() && following() ? `Go on to the ${NAMES[following().kind]} →` : "Next →";
  $("open").disabled = ready === all;
  $("parts").hidden = data.parts.length < 2;
  data.parts.forEach((one, i) => {
    $("parts").children[i].ariaCurrent = String(one.kind === state.part);
    $("saves").children[i].textContent = `Save ${one.file}${unsaved(one) ? " (not saved yet)" : ""}`;
    $("saves").children[i].classList.toggle("main", whole(one) && unsaved(one));
  });
  mark();
}

function mark() {
  for (const column of part().answers) $(`ask-${column}`).classList.toggle("active", column === active());
}

function active() {
  const inside = document.activeElement?.closest?.("fieldset")?.id.slice("ask-".length);
  return inside ?? part().answers.find((column) => !answer(row(), column)) ?? part().answers.at(-1);
}

// ---- what people do

function set(column, value) {
  (state.answers[row().id] ??= {})[column] = value;
  if (!value) delete state.answers[row().id][column];
  keep();
  refresh();
  if (data.parts.every(whole)) say("Everything is answered. Save each CSV and send it back.", true);
  else if (following()) say(`All ${NAMES[state.part]} are answered; the ${NAMES[following().kind]} come next.`, true);
}

function choose(value) {
  const column = active();
  $(`ask-${column}`).querySelector(`input[value="${value}"]`).checked = true;
  set(column, value);
  const below = part().answers[part().answers.indexOf(column) + 1];
  if (below) ($(`ask-${below}`).querySelector("input:checked") ?? $(`ask-${below}`).querySelector("input")).focus();
  else [$("next"), $("open"), $("saves").firstChild].find((button) => !button.disabled).focus();
  mark();
}

function takeBack() {
  const column = active();
  $(`ask-${column}`).querySelectorAll("input").forEach((input) => (input.checked = false));
  set(column, "");
}

function go(to) {
  if (to < 0 || to >= part().rows.length) return;
  state.at[state.part] = to;
  keep();
  show(true);
}

function goOn() {
  if (atEnd() && following()) enter(following().kind);
  else go(place() + 1);
}

function goOpen() {
  const rows = part().rows;
  const order = rows.map((_, i) => (place() + 1 + i) % rows.length);
  go(order.find((i) => !complete(rows[i], part())) ?? place());
}

function enter(kind) {
  state.part = kind;
  if (nothingIn(part())) $("guide").open = true; // this part's are others
  keep();
  show(true);
}

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.type === "file") return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const value = ALLOWED[state.part].find((one) => one[0].toLowerCase() === key);
  const onRadio = event.target.type === "radio";
  const onButton = ["BUTTON", "SUMMARY"].includes(event.target.tagName);
  if (value) choose(value);
  else if (key === "n" || (key === "ArrowRight" && !onRadio) || (key === "Enter" && !onButton)) goOn();
  else if (key === "p" || (key === "ArrowLeft" && !onRadio)) go(place() - 1);
  else if (key === "Delete" || key === "Backspace") takeBack();
  else return;
  event.preventDefault();
}

$("parts").append(...data.parts.map((one) => {
  const button = make("button", { type: "button" }, one.title);
  button.addEventListener("click", () => enter(one.kind));
  return button;
}));
$("saves").append(...data.parts.map((one) => {
  const button = make("button", { type: "button", id: `save-${one.kind}` });
  button.addEventListener("click", () => save(one));
  return button;
}));
$("previous").addEventListener("click", () => go(place() - 1));
$("next").addEventListener("click", goOn);
$("open").addEventListener("click", goOpen);
$("file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) load(await file.text());
  event.target.value = "";
});
document.addEventListener("keydown", press);
document.addEventListener("focusin", mark);
window.addEventListener("beforeunload", (event) => {
  if (data.parts.some(unsaved)) event.preventDefault();
});
// Another tab has this page open, too: take over what it kept, so that neither overwrites the other's answers.
window.addEventListener("storage", (event) => {
  if (event.key !== STORE || !event.newValue) return;
  const [at, kind] = [{ ...state.at }, state.part];
  try {
    state.answers = {};
    restore(event.newValue);
  } finally {
    Object.assign(state, { at, part: kind });
    show();
  }
});

$("guide").open = !recall();
show();
