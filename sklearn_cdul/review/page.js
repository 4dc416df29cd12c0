// The page is drawn from the JSON in #data. Text from outside goes through textContent alone.
const data = JSON.parse(document.getElementById("data").textContent);
const names = data.classes.map((c) => c.class);
// ------------------------------------------------------------------ answers

// Photo -> class -> 1 or 0. They outlive a reload where the browser allows it.
const storageKey = "sklearn_cdul " + data.key;
let answers = {};
try { answers = JSON.parse(localStorage.getItem(storageKey)) || {}; } catch { /* not allowed */ }

// Whether a person said that none of the classes is in the photo.
const isNone = (photo) => names.every((_, j) => answers[photo]?.[j] === 0);

// j is a class, or "none" for all of them, of which none is in the photo.
function answer(photo, j, value) {
  const given = (answers[photo] ||= {});
  if (j === "none" ? isNone(photo) : given[j] === value) (j === "none" ? Object.keys(given) : [j]).forEach((one) => delete given[one]);
  else (j === "none" ? names.map((_, one) => one) : [j]).forEach((one) => { given[one] = value; });
  if (!Object.keys(given).length) delete answers[photo];
  try { localStorage.setItem(storageKey, JSON.stringify(answers)); } catch { /* not allowed */ }
  showAnswers();
}

function showAnswers() {
  let count = 0;
  for (const given of Object.values(answers)) count += Object.keys(given).length;
  const photos = Object.keys(answers).length;
  byId("count").textContent = count
    ? `${count} ${count === 1 ? "answer" : "answers"} on ${photos} ${photos === 1 ? "photo" : "photos"}`
    : "No answers yet";
  byId("save").disabled = !count;
  byId("clear").hidden = !count;
  for (const node of document.querySelectorAll("[data-photo]")) {
    const { photo, class: j } = node.dataset;
    const given = j !== "none" ? answers[photo]?.[j] : isNone(photo) ? 0 : undefined;
    node.classList.toggle("yes", given === 1);
    node.classList.toggle("no", given === 0);
    node.querySelector(".mark.yes")?.setAttribute("aria-pressed", given === 1);
    node.querySelector(".mark.no")?.setAttribute("aria-pressed", given === 0);
  }
}

function cell(value) {
  const text = String(value);
  return /[",;\t\r\n]/.test(text) || text !== text.trim() ? '"' + text.replaceAll('"', '""') + '"' : text;
}

// As sklearn_cdul.targets.read_targets reads it: one column per class, 1, 0, or nothing.
function toCSV() {
  const photos = Object.keys(answers).map(Number).sort((a, b) => a - b);
  const columns = names.map((_, j) => j).filter((j) => photos.some((p) => j in answers[p]));
  const lines = [[data.column, ...columns.map((j) => names[j])]];
  for (const p of photos) {
    lines.push([data.has_paths ? data.photos[p].path : p, ...columns.map((j) => answers[p][j] ?? "")]);
  }
  return lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
}

byId("save").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([toCSV()], { type: "text/csv" }));
  make("a", { href: url, download: "answers.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
});
byId("clear").addEventListener("click", () => {
  if (!confirm("Forget all answers?")) return;
  for (const photo of Object.keys(answers)) delete answers[photo];
  try { localStorage.removeItem(storageKey); } catch { /* not allowed */ }
  showAnswers();
});

// ------------------------------------------------------------------- photos

function marks(photo, j) {
  const name = names[j];
  return [
    make("button", { class: "mark yes", type: "button", text: "✓", title: `${name} is in the photo`,
      "aria-label": `${name} is in the photo`, on: () => answer(photo, j, 1) }),
    make("button", { class: "mark no", type: "button", text: "✗", title: `${name} is not in the photo`,
      "aria-label": `${name} is not in the photo`, on: () => answer(photo, j, 0) }),
  ];
}

function noneMark(photo, text) {
  return make("button", { class: "mark no", type: "button", text, title: "None of the classes is in the photo",
    "aria-label": "None of the classes is in the photo", on: () => answer(photo, "none", 0) });
}

function picture(photo) {
  const { image, path } = data.photos[photo];
  if (!image) return make("div", { class: "missing", text: path || `row ${photo}` });
  return make("img", { src: "data:image/jpeg;base64," + image, alt: path || `row ${photo}`, loading: "lazy" });
}

function tile(photo, j, note) {
  const { path, top } = data.photos[photo];
  const button = make("button", { type: "button", "aria-label": "Show larger", title: path || `row ${photo}`,
    on: () => showLarge(photo) }, picture(photo));
  if (j === null) {
    const likely = top.slice(0, 2).map(([c, p]) => `${names[c]} ${percent(p)}`).join(", ");
    return make("figure", { "data-photo": photo, "data-class": "none" }, button,
      make("figcaption", {}, make("span", { text: likely }), noneMark(photo, "✗")));
  }
  return make("figure", { "data-photo": photo, "data-class": j }, button,
    make("figcaption", {}, make("span", { class: "score", text: percent(note.p) }), ...marks(photo, j), make("small", { text: note.text })));
}

function showLarge(photo) {
  const { image, path, top } = data.photos[photo];
  byId("large-photo").hidden = !image;
  byId("large-photo").src = image ? "data:image/jpeg;base64," + image : "";
  byId("large-name").textContent = path || `row ${photo}`;
  const none = make("div", { class: "row", "data-photo": photo, "data-class": "none" },
    make("span", { text: "none of the classes" }), noneMark(photo, "✗"));
  byId("large-classes").replaceChildren(...top.map(([j, p]) =>
    make("div", { class: "row", "data-photo": photo, "data-class": j },
      make("span", { text: `${names[j]} ${percent(p)}${p >= data.classes[j].threshold ? ", predicted" : ""}` }),
      ...marks(photo, j))), none);
  // Keys: 1 is the first class of the list, with shift for no; 0 is none of them.
  byId("large").onkeydown = (event) => {
    const digit = event.code.match(/^(?:Digit|Numpad)(\d)$/)?.[1];
    if (digit === "0") answer(photo, "none", 0);
    else if (digit <= top.length) answer(photo, top[digit - 1][0], event.shiftKey ? 0 : 1);
  };
  showAnswers();
  byId("large").showModal();
}

// --------------------------------------------------------------- histograms

const logit = (p) => Math.log(p / (1 - p));

function histogram({ counts, edges, threshold, class: name }) {
  const width = 560, height = 130, left = 4, bottom = 18, top = 16;
  const [first, last] = [edges[0], edges[edges.length - 1]];
  const x = (value) => left + (Math.min(Math.max(value, first), last) - first) / (last - first) * (width - 2 * left);
  const most = Math.max(...counts, 1);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `How many photos have which score for ${name}` });
  const at = logit(Math.min(Math.max(threshold, 1e-6), 1 - 1e-6));
  counts.forEach((count, i) => {
    const tall = Math.sqrt(count / most) * (height - bottom - top);
    const bar = draw("rect", { x: x(edges[i]) + .5, width: Math.max(x(edges[i + 1]) - x(edges[i]) - 1, .5),
      y: height - bottom - tall, height: tall });
    if ((edges[i] + edges[i + 1]) / 2 >= at) bar.classList.add("over");
    bar.append(draw("title", {}, `${count} photos`));
    svg.append(bar);
  });
  svg.append(draw("line", { class: "axis", x1: left, x2: width - left, y1: height - bottom, y2: height - bottom }));
  let end = -99;
  for (const p of [.001, .002, .005, .01, .02, .05, .1, .2, .3, .5, .7, .8, .9, .95, .98, .99, .999]) {
    const place = x(logit(p));
    if (logit(p) < first || logit(p) > last || place < end + 40 || place < 14 || place > width - 14) continue;
    svg.append(draw("text", { x: place, y: height - 4, "text-anchor": "middle" }, percent(p)));
    end = place;
  }
  const mark = x(at);
  if (threshold < 1) {
    svg.append(draw("line", { class: "threshold", x1: mark, x2: mark, y1: top - 2, y2: height - bottom }));
  }
  svg.append(draw("text", { x: mark, y: 10, "text-anchor": mark > width - 60 ? "end" : mark < 60 ? "start" : "middle" },
    threshold < 1 ? `threshold ${percent(threshold)}` : "no threshold: predicted for no photo"));
  return svg;
}

// ---------------------------------------------------------------- the page

function table(node, head, rows, texts = [0]) {
  const body = make("tbody");
  const fill = () => body.replaceChildren(...rows.map((row) => make("tr", {}, ...row.map((value, i) => {
    const one = make("td", texts.includes(i) ? { class: "text" } : {});
    if (value instanceof Node) one.append(value);
    else one.textContent = typeof value === "object" && value ? value.text : value;
    return one;
  }))));
  const keyOf = (value) => (value instanceof Node ? value.textContent : typeof value === "object" && value ? value.key : value);
  let last = null;
  node.replaceChildren(make("thead", {}, make("tr", {}, ...head.map((text, i) =>
    make("th", texts.includes(i) ? { class: "text" } : {}, make("button", { text, title: "Sort", on: () => {
      const way = last === i ? 1 : -1;
      last = last === i ? null : i;
      rows.sort((a, b) => {
        const [one, other] = [keyOf(a[i]), keyOf(b[i])];
        if (typeof one === "string") return -way * one.localeCompare(other);
        return way * ((one ?? -1) - (other ?? -1));
      });
      fill();
    } }))))), body);
  fill();
}

document.title = data.title;
byId("title").textContent = data.title;
byId("subtitle").textContent = data.subtitle;
byId("summary").append(...data.summary.map(([value, text]) =>
  make("div", { class: "tile" }, make("b", { text: value }), make("span", { text }))));

byId("none-section").hidden = !data.none.length;
byId("none-text").textContent = data.none_text;
byId("none").append(...data.none.map((photo) => tile(photo, null)));

byId("pairs-section").hidden = !data.pairs.length;
table(byId("pairs"), ["name", "other name", "correlation", "similarity of the texts", "photos with both", "with one"],
  data.pairs.map(([i, j, r, text, both, one]) => [link(i), link(j), num(r), num(text), both, one]), [0, 1]);

function num(value) { return value === null ? { key: -1, text: "–" } : { key: value, text: value.toFixed(2) }; }
function link(j) {
  return data.classes[j].lists ? make("a", { href: `#class-${j}`, text: names[j] }) : make("span", { text: names[j] });
}

byId("classes-text").textContent = data.classes_text;
const labelled = data.classes.some((c) => c.average_precision !== undefined);
table(byId("classes"),
  ["class", "predicted", "share", "threshold", ...(labelled ? ["AP", "F1", "precision", "recall", "positives"] : [])],
  data.classes.map((c, j) => [link(j), c.predicted, { key: c.share, text: percent(c.share) }, { key: c.threshold, text: c.threshold < 1 ? percent(c.threshold) : "none" },
    ...(labelled ? [...["average_precision", "f1", "precision", "recall"].map((k) => ({ key: c[k], text: figure(c[k]) })), c.positives] : [])]));

data.classes.forEach((c, j) => {
  if (!c.lists) return;
  const section = make("section", { class: "class", id: `class-${j}` }, make("h2", { text: c.class }));
  section.append(make("a", { class: "up", href: "#classes", text: "↑ all classes" }));
  const figures = [`predicted for ${c.predicted} of ${data.n_photos} photos (${percent(c.share)})`];
  if (c.average_precision != null) figures.push(`average precision ${figure(c.average_precision)}, F1 ${figure(c.f1)}`);
  section.append(make("p", { class: "note", text: figures.join("; ") }), histogram(c));
  for (const [title, list] of c.lists) {
    section.append(make("h3", { text: title }), make("div", { class: "photos" },
      ...list.map(([photo, p, text]) => tile(photo, j, { p, text }))));
  }
  byId("details").append(section);
});
showAnswers();
