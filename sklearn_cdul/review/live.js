// The page of a review. The server keeps all answers; what is here is what one tab shows.
let tab = crypto.getRandomValues(new Uint32Array(2)).join("-");
try {  // a reload shows the same photo, and can take its last answer back
  tab = sessionStorage.getItem("review tab") || tab;
  sessionStorage.setItem("review tab", tab);
} catch { /* not allowed */ }
const LIKELY = 9;
const ENDED = "This address is that of a review that has ended. Open the address that the running one has printed.";
let state = { names: [] };
let card = null, shown = new Set(), seen = [], at = -1, busy = false, all = false;
let gridClass = null, gridPhotos = [], gridWrong = new Set();

// ----------------------------------------------------------------- requests

function complain(text) {
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

async function ask(path, data) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" } };
  let response, result;
  try {
    response = await fetch(path, data === undefined ? {} : { ...post, body: JSON.stringify({ tab, ...data }) });
    result = response.status === 403 ? { error: ENDED } : await response.json();
  } catch {
    throw new Error("The server does not answer. What is on the screen is not saved; all before it is. "
      + "Start the same command again.");
  }
  if (!response.ok) throw Object.assign(new Error(result.error || "This did not work."), { status: response.status });
  return result;
}

// One thing at a time: a second key or click waits for nobody and does nothing.
async function alone(work) {
  if (busy) return;
  busy = true;
  try {
    complain("");
    await work();
  } catch (error) {
    complain(error.message);
  } finally {
    busy = false;
  }
}

let timer = null, refreshed = 0;
async function refresh() {
  clearTimeout(timer);
  const turn = ++refreshed;
  try {
    const result = await ask("overview");
    if (turn !== refreshed) return;  // a later one is on its way
    state = result;
  } catch (error) { return complain(error.message); }
  showStatus();
  if (!byId("figures-view").hidden) showFigures();
  if (state.learning) timer = setTimeout(refresh, 1000);
}

// -------------------------------------------------------------------- photo

function showCard(next) {
  card = next;
  shown = new Set(card ? card.shown : []);
  all = false;
  byId("find-text").value = "";
  byId("frame").hidden = byId("side").hidden = !card;
  for (const id of ["skip", "none", "next"]) byId(id).disabled = !card;
  if (!card) {
    complain(state.photos ? "All photos are answered." : "");
    return;
  }
  byId("large").src = `photo/${card.photo}/large`;
  byId("large").alt = `Photo ${card.name}`;
  byId("name").textContent = card.name + (card.fair ? " · drawn at random, kept apart" : "")
    + (card.answered ? " · answered" : "");
  showChips();
  byId("side").scrollTop = 0;
  if (card.ahead != null) new Image().src = `photo/${card.ahead}/large`;
}

function visit(next) {
  if (next) {
    seen = [...seen.slice(-200), next.photo];
    at = seen.length - 1;
  }
  showCard(next);
}

function chosenChips() {
  const text = byId("find-text").value.trim().toLowerCase();
  const order = card.order.filter((j) => j < state.names.length);
  if (text) return order.filter((j) => state.names[j].toLowerCase().includes(text));
  return all ? order : order.filter((j, i) => i < LIKELY || shown.has(j));
}

function showChips() {
  const chips = chosenChips();
  const nodes = chips.map((j, i) => {
    const name = state.names[j];
    const node = make("button", { type: "button", class: "chip", "aria-pressed": shown.has(j), "data-class": j,
      on: () => toggle(j) });
    if (i < 9) node.append(make("kbd", { text: i + 1, "aria-hidden": "true" }));
    node.append(make("span", { class: "word", text: name }),
      make("span", { class: "score", text: percent(card.scores[j] ?? null) }));
    return node;
  });
  const text = byId("find-text").value.trim();
  if (text && !state.names.includes(text)) {
    nodes.push(make("button", { type: "button", class: "more", id: "add-chip", text: `Add the class “${text}”`,
      on: () => alone(() => addClass(text)) }));
  } else if (!text && chips.length < state.names.length) {
    nodes.push(make("button", { type: "button", class: "more", text: `All ${state.names.length} classes`,
      on: () => { all = true; showChips(); } }));
  }
  if (!text && shown.size > 1) nodes.push(make("button", { type: "button", class: "more", text: "Unmark all", on: unmark }));
  byId("chips").replaceChildren(...nodes);
  const same = card.shown.length === shown.size && card.shown.every((j) => shown.has(j));
  byId("next").textContent = same ? "Right, next" : "Save, next";
}

function toggle(j) {
  if (!shown.delete(j)) shown.add(j);
  const focused = document.activeElement?.dataset?.class;
  showChips();
  if (focused !== undefined) document.querySelector(`[data-class="${focused}"]`)?.focus();
}

function unmark() {
  shown.clear();
  showChips();
}

const answer = (classes) => alone(async () => {
  if (!card) return;
  const { photo, version } = card;
  try {
    const result = await ask("answer", { photo, version, shown: classes, classes: state.names.length });
    visit(result.card);
  } catch (error) {
    if (error.status === 409) showCard(await ask(`card/${photo}`));
    throw error;
  }
  refresh();
});

const undo = () => alone(async () => {
  const result = await ask("undo", {});
  if (result.card) visit(result.card);
  else if (!byId("grid-view").hidden) await loadGrid();
  refresh();
});

const back = () => alone(async () => {
  if (at > 0) showCard(await ask(`card/${seen[--at]}`));
});

const forward = () => alone(async () => {
  if (at < seen.length - 1) return showCard(await ask(`card/${seen[++at]}`));
  if (card) visit((await ask("next", { skip: card.photo })).card);
});

async function addClass(name) {
  state = await ask("class", { name });
  const j = state.names.indexOf(name.split(/\s+/).join(" "));
  if (card) {
    card.order = [...card.order, j];
    shown.add(j);
    byId("find-text").value = "";
    showChips();
  }
  refresh();
}

// --------------------------------------------------------------------- grid

async function loadGrid() {
  const result = await ask(`grid/${gridClass}`);
  showGrid(result);
}

function showGrid(result) {
  gridPhotos = result.photos;
  gridWrong = new Set();
  const name = state.names[gridClass];
  byId("grid-text").textContent = gridPhotos.length
    ? `Press the photos that do not show “${name}”, then save: the others count as right.`
    : `No photo is predicted to show “${name}” that has no answer yet.`;
  byId("grid-save").disabled = !gridPhotos.length;
  byId("grid").replaceChildren(...gridPhotos.map(({ photo, name: path, score }) => {
    const note = make("span", { text: percent(score) });
    const node = make("button", { type: "button", class: "tilephoto", "aria-pressed": "false",
      "aria-label": `${path} does not show ${name}`, title: path, on: () => {
        if (!gridWrong.delete(photo)) gridWrong.add(photo);
        node.setAttribute("aria-pressed", gridWrong.has(photo));
        note.textContent = gridWrong.has(photo) ? "✗ wrong" : percent(score);
      } }, make("img", { src: `photo/${photo}/small`, alt: "", loading: "lazy" }), note);
    return node;
  }));
}

function showGridClasses() {
  gridClass ??= state.predicted.indexOf(Math.max(...state.predicted));
  byId("grid-class").replaceChildren(...state.names.map((name, j) =>
    make("option", { value: j, text: `${name} (${state.predicted[j]})` })));
  byId("grid-class").value = gridClass;
}

const saveGrid = () => alone(async () => {
  const photos = gridPhotos.map(({ photo, version }) => [photo, version, gridWrong.has(photo) ? 0 : 1]);
  try {
    showGrid(await ask("answer-grid", { class: gridClass, photos }));
  } catch (error) {
    if (error.status === 409) await loadGrid();
    throw error;
  }
  window.scrollTo(0, 0);
  refresh();
});

// ------------------------------------------------------------------ figures

const points = (x) => (100 * x).toFixed(0);
const range = ([low, high]) => `${points(low)}–${points(high)}`;

function showStatus() {
  const { figures, answered, fair } = state;
  const judged = figures ? `F1 ${points(figures.f1)} (${range(figures.f1_interval)})` : `F1 after ${Math.max(5 - fair, 1)} more of the photos drawn at random`;
  byId("status").textContent = `${answered} of ${state.photos} answered · ${judged}${state.learning ? " · learning…" : ""}`;
  if (state.trouble) complain(`The model could not learn from the last answers, which are saved. ${state.trouble}`);
}

function showFigures() {
  const { figures, answered, fair, names, yes, no, predicted, curve } = state;
  const tile = (value, text) => make("div", { class: "tile" }, make("b", { text: value }), make("span", { text }));
  byId("tiles").replaceChildren(tile(answered, `of ${state.photos} photos answered`), ...(figures ? [
    tile(points(figures.f1), `F1 in percent, 95 % interval ${range(figures.f1_interval)}`),
    tile(`${points(figures.right)} %`, `of photos all right, 95 % interval ${range(figures.right_interval)}`)] : []));
  byId("figures-text").textContent = figures
    ? `Of ${figures.n} photos drawn at random, from which the model did not learn.`
    : `Figures come with 5 answered photos of those drawn at random; there are ${fair}.`;
  byId("hint").textContent = state.hint;
  byId("curve").replaceChildren(...(curve.length > 1 ? [drawCurve(curve)] : []));
  const editing = document.activeElement?.closest?.("#classes");
  if (editing) return;
  byId("classes").replaceChildren(
    make("thead", {}, make("tr", {}, ...["class", "predicted", "yes", "no", ""].map((text) => make("th", { text })))),
    make("tbody", {}, ...names.map((name, j) => make("tr", {}, make("td", { text: name }),
      ...[predicted[j], yes[j], no[j]].map((text) => make("td", { text })),
      make("td", {}, make("button", { type: "button", text: "Rename", "aria-label": `Rename ${name}`,
        on: (event) => rename(j, event.currentTarget) }))))));
}

function rename(j, button) {
  const input = make("input", { "aria-label": `New name of ${state.names[j]}`, maxlength: 200 });
  input.value = state.names[j];
  const finish = (name) => alone(async () => {
    if (name && name !== state.names[j]) state = await ask("class", { class: j, name });
    input.blur();
    input.replaceWith(button);
    showFigures();
    refresh();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") finish(input.value.trim());
    if (event.key === "Escape") finish("");
  });
  button.replaceWith(input);
  input.select();
}

function drawCurve(curve) {
  const width = Math.min(760, byId("figures-view").clientWidth), height = 220, left = 40, right = 16, top = 14, bottom = 30;
  const last = curve[curve.length - 1].answers, first = curve[0].answers;
  const x = (n) => left + (n - first) / Math.max(last - first, 1) * (width - left - right);
  const y = (p) => top + (1 - p) * (height - top - bottom);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `F1 from ${points(curve[0].f1)} after ${first} answers to ${points(curve[curve.length - 1].f1)} after ${last}` });
  for (const p of [0, .25, .5, .75, 1]) {
    svg.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: y(p), y2: y(p) }),
      draw("text", { x: left - 6, y: y(p) + 4, "text-anchor": "end" }, points(p)));
  }
  const along = (values) => values.map(([n, p]) => `${x(n)},${y(p)}`).join(" ");
  svg.append(draw("polygon", { class: "band", points: along([...curve.map((c) => [c.answers, c.f1_interval[1]]),
    ...curve.map((c) => [c.answers, c.f1_interval[0]]).reverse()]) }),
    draw("polyline", { class: "line", points: along(curve.map((c) => [c.answers, c.f1])) }),
    ...curve.map((c) => draw("circle", { class: "dot", cx: x(c.answers), cy: y(c.f1), r: 3.5 })),
    draw("text", { x: left, y: height - 8 }, `${first} answers`),
    draw("text", { x: width - right, y: height - 8, "text-anchor": "end" }, `${last} answers`));
  return svg;
}

const SAVES = { "model.joblib": "Model", "labels.csv": "Labels (CSV)", "coco.json": "Labels (COCO)",
  "fiftyone.json": "Labels (FiftyOne)", "label-studio.json": "Labels (Label Studio)", "report.html": "Report" };
byId("saves").append(...Object.entries(SAVES).map(([name, text]) => make("button", { type: "button", text,
  on: () => alone(async () => {
    byId("saved").textContent = "Working…";
    try {
      byId("saved").textContent = `Saved as ${(await ask("save", { name })).path}`;
    } catch (error) {
      byId("saved").textContent = "";
      throw error;
    }
  }) })));

// -------------------------------------------------------------------- views

const VIEWS = ["photo", "grid", "figures"];
function show(view) {
  for (const name of VIEWS) {
    byId(`${name}-view`).hidden = name !== view;
    byId(`to-${name}`).setAttribute("aria-pressed", name === view);
  }
  if (view === "grid") {
    showGridClasses();
    alone(loadGrid);
  } else if (view === "figures") showFigures();
  else if (card) alone(async () => showCard(await ask(`card/${card.photo}`)));
}

for (const name of VIEWS) byId(`to-${name}`).addEventListener("click", () => show(name));
byId("next").addEventListener("click", () => answer([...shown]));
byId("none").addEventListener("click", () => answer([]));
byId("undo").addEventListener("click", undo);
byId("skip").addEventListener("click", forward);
byId("grid-undo").addEventListener("click", undo);
byId("grid-save").addEventListener("click", saveGrid);
byId("grid-class").addEventListener("change", (event) => {
  gridClass = Number(event.target.value);
  alone(loadGrid);
});
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("find-text").addEventListener("input", showChips);
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("find-text").value.trim();
  if (!text || !card) return byId("find-text").blur();
  const [first] = chosenChips();
  if (first === undefined) return alone(() => addClass(text));
  byId("find-text").value = "";
  toggle(first);
});
byId("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("add-name").value.trim();
  if (name) alone(async () => { await addClass(name); byId("add-name").value = ""; showFigures(); });
});
byId("large").addEventListener("error", () => complain("This photo can't be shown. Skip it."));

const KEYS = {
  Enter: () => answer([...shown]),
  Backspace: undo,
  ArrowLeft: back,
  ArrowRight: forward,
  0: () => answer([]),
  x: () => card && unmark(),
  "/": () => byId("find-text").focus(),
};
document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (target.matches("input, select, textarea")) {
    if (key === "Escape" && target.id === "find-text") {
      target.value = "";
      target.blur();
      showChips();
    }
    return;
  }
  if (key === "?") return byId("help").showModal();
  if (byId("photo-view").hidden || event.repeat) return;
  // A button that has the focus takes Enter itself; a class is marked with the space bar.
  if (key === "Enter" && target.matches("button:not(.chip)")) return;
  if (/^[1-9]$/.test(key) && card) {
    const j = chosenChips()[Number(key) - 1];
    if (j !== undefined) toggle(j);
  } else if (KEYS[key]) KEYS[key]();
  else return;
  event.preventDefault();
});

alone(async () => {
  state = await ask("overview");
  showStatus();
  visit((await ask("next", {})).card);
});
