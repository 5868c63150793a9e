"use strict";
// Texts that came from models or file names reach the page through textContent, or inside HTML that was escaped as it was
// written; the page's policy runs no script but this one and the charts' library.
const $ = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const blob = (id) => JSON.parse($(id).textContent);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
/** Call once with each element that matches, when it comes near the view: a page of hundreds of runs stands at once. */
function whenSeen(selector, then, root = document) {
  const waiting = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) { waiting.unobserve(target); then(target); }
  }, { rootMargin: "300px" });
  all(selector, root).forEach((element) => waiting.observe(element));
}

// Theme -------------------------------------------------------------------------------------------------------------
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  all(".chart.drawn").forEach(drawChart);
});

// Charts: the library is run when the first of them comes into view ------------------------------------------------
function chartLook() {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = colour("--ink"), line = colour("--line");
  const axis = { labelColor: ink, titleColor: ink, domainColor: line, tickColor: line, gridColor: line, titleFontWeight: 400 };
  return { background: null, font: "system-ui, sans-serif", axis, legend: { labelColor: ink }, rule: { color: ink }, view: { stroke: null } };
}
function drawChart(box) {
  if (!window.vegaEmbed) document.head.append(make("script", { textContent: $("chart-library").textContent }));
  const place = box.querySelector(".place") ?? box.appendChild(make("div", { className: "place" }));
  box.classList.add("drawn");
  const options = { renderer: "svg", ast: true, actions: false, config: chartLook() }; // ast: no code is made of texts
  return vegaEmbed(place, JSON.parse(box.querySelector("script").textContent), options);
}
whenSeen(".chart", drawChart);
addEventListener("beforeprint", () => all(".chart:not(.drawn)").filter((box) => box.checkVisibility()).forEach(drawChart));

// Wide tables: what lies beyond the edge is told, and reached by keyboard too ----------------------------------------
function watchWidth(box) {
  const hint = make("p", { className: "hint", textContent: "more columns: scroll sideways →", hidden: true });
  box.after(hint);
  const look = () => {
    const room = box.scrollWidth - box.clientWidth;
    const left = box.scrollLeft > 1, right = box.scrollLeft < room - 1;
    box.classList.toggle("left", left);
    box.classList.toggle("right", right);
    hint.hidden = !right;
    box.tabIndex = room > 1 ? 0 : -1;
  };
  box.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(box);
}
function watchWidths(root = document) {
  all(".scroll", root).forEach((box) => { box.tabIndex = 0; });
  whenSeen(".scroll", watchWidth, root);
}
watchWidths();

// Leaderboard -------------------------------------------------------------------------------------------------------
function filterBoards() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const dataset = $("f-dataset").value, protocol = $("f-protocol").value;
  let shown = 0, total = 0;
  for (const board of all(".board")) {
    let here = 0;
    for (const row of all("tbody tr", board)) {
      const text = row.dataset.text.toLowerCase();
      const paper = row.classList.contains("paper");
      row.hidden = (dataset && board.dataset.dataset !== dataset) || (protocol && row.dataset.protocol !== protocol)
        || (paper && !$("f-paper").checked) || (row.dataset.partial === "1" && !$("f-partial").checked)
        || !words.every((word) => text.includes(word));
      total += 1;
      here += row.hidden ? 0 : 1;
    }
    board.hidden = here === 0;
    shown += here;
  }
  $("shown").textContent = `${shown} of ${total} rows`;
}
for (const id of ["search", "f-dataset", "f-protocol", "f-paper", "f-partial"]) $(id).addEventListener("input", filterBoards);
filterBoards();

for (const head of all(".board th")) {
  head.querySelector("button")?.addEventListener("click", () => {
    const table = head.closest("table"), at = head.cellIndex;
    const down = head.getAttribute("aria-sort") !== "descending";
    all("th", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[at].dataset.value === "" ? NaN : Number(row.cells[at].dataset.value);
    const rows = all("tbody tr", table).sort((a, b) => {
      const x = value(a), y = value(b);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return down ? y - x : x - y;
    });
    table.tBodies[0].append(...rows);
  });
}

// Runs --------------------------------------------------------------------------------------------------------------
document.addEventListener("input", ({ target }) => {
  if (!target.matches("select.pick")) return;
  all(".bars", target.closest("details")).forEach((bars, at) => { bars.hidden = at !== Number(target.value); });
});
/** Make what is inside a run when it is opened: hundreds of runs would be hundreds of thousands of elements. */
function fill(details) {
  const written = details.querySelector(":scope > script");
  if (!written) return;
  const inside = make("div", { innerHTML: JSON.parse(written.textContent) });
  written.replaceWith(inside);
  whenSeen(".chart", drawChart, inside);
  watchWidths(inside);
}
all("details.later").forEach((details) => details.addEventListener("toggle", () => { if (details.open) fill(details); }));
function openTarget() {
  const target = !location.hash.startsWith("#?") && document.getElementById(location.hash.slice(1));
  if (target?.tagName === "DETAILS") { fill(target); target.open = true; }
}
addEventListener("hashchange", openTarget);
openTarget();

// Address: what is chosen, searched and opened stands behind "#?", so that a link leads to it --------------------------
const CHOICES = ["search", "f-dataset", "f-protocol", "f-paper", "f-partial", "g-run", "g-sort", "g-search", "g-view"]
  .map($).filter(Boolean);
const chosen = (element) => element.type === "checkbox" ? String(element.checked)
  : element.id === "g-run" ? element.selectedOptions[0]?.textContent : element.value;
const usual = new Map(CHOICES.map((element) => [element.id, chosen(element)]));
function remember(image = null) {
  const state = new URLSearchParams(CHOICES.map((e) => [e.id, chosen(e)]).filter(([id, value]) => value !== usual.get(id)));
  if (image) state.set("image", image);
  const text = state.toString();
  history.replaceState(null, "", text ? `#?${text}` : "#");
}
/** Choose what the address says; returns the name of the image that it opens. */
function recall() {
  if (!location.hash.startsWith("#?")) return null;
  const state = new URLSearchParams(location.hash.slice(2));
  for (const element of CHOICES) {
    const value = state.get(element.id) ?? usual.get(element.id);
    if (element.type === "checkbox") element.checked = value === "true";
    else if (element.id === "g-run") element.selectedIndex = Math.max(0, [...element.options].findIndex((o) => o.textContent === value));
    else element.value = value;
    if (element.selectedIndex === -1) element.value = usual.get(element.id); // no such option
  }
  filterBoards();
  return state.get("image");
}
for (const element of CHOICES) element.addEventListener("input", () => remember());

// Images ------------------------------------------------------------------------------------------------------------
const PAGE = 60;
const pools = new Map();
const runs = new Map();
let list = [], listed = false, drawn = 0, current = -1;

function pool(id) {
  if (!pools.has(id)) pools.set(id, blob(id));
  return pools.get(id);
}
function run(at) {
  if (!runs.has(at)) {
    const data = blob(`images-${at}`);
    const pictures = pool(data.pool);
    data.images = data.rows.map((row, order) => {
      const image = Object.fromEntries(data.columns.map((name, k) => [name, row[k]]));
      return { ...image, order, image: pictures.image[image.at], truth: pictures.truth[image.at] };
    });
    runs.set(at, data);
  }
  return runs.get(at);
}
const source = { image: "image/webp", score: "image/webp", truth: "image/png", mask: "image/png" };
function picture(data, layer, alt) {
  if (!data[layer]) return null;
  return make("img", { src: `data:${source[layer]};base64,${data[layer]}`, alt, decoding: "async" });
}
function stack(data, layer, strength) {
  const base = picture(data, "image", `photograph ${data.id}`);
  const over = layer === "none" ? null : picture(data, layer, "");
  if (over) over.style.opacity = strength;
  return [base ?? make("span", { textContent: "no picture" }), over].filter(Boolean);
}
const orders = {
  worst: (a, b) => a.quality - b.quality,
  best: (a, b) => b.quality - a.quality,
  alarms: (a, b) => b.score_value - a.score_value,
  misses: (a, b) => (a.iou ?? 0) - (b.iou ?? 0) || a.score_value - b.score_value,
  order: (a, b) => a.order - b.order,
};
const wanted = {
  alarms: (image) => !image.defective && (image.called ?? true),
  misses: (image) => image.defective && !(image.called ?? false),
};
function listImages() {
  const order = $("g-sort").value;
  const words = $("g-search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (image) => `${image.id} ${image.category} ${image.type} ${image.rationale ?? ""}`.toLowerCase();
  list = run(Number($("g-run").value)).images
    .filter((image) => (wanted[order]?.(image) ?? true) && words.every((word) => text(image).includes(word)))
    .sort((a, b) => orders[order](a, b) || a.order - b.order);
  listed = true;
  drawn = 0;
  $("grid").replaceChildren();
  $("g-count").textContent = `${list.length} images`;
  drawMore();
}
function tile(image, at) {
  const said = image.called === null ? "" : image.called ? ", called defective" : ", called good";
  const label = `${image.id}, ${image.defective ? image.type : "good"}${said}`;
  const button = make("button", { type: "button", className: "tile", title: label },
    make("div", { className: "stack" }, ...stack(image, $("g-view").value, 0.5)),
    make("span", { textContent: image.id.split("/").slice(-2).join("/") }),
    make("span", { className: wrong(image) ? "bad" : "soft", textContent: verdict(image) }),
    make("span", { className: "soft numbers", textContent: numbers(image) }));
  button.addEventListener("click", () => show(at));
  return button;
}
const wrong = (image) => image.called !== null && image.called !== image.defective;
function verdict(image) {
  const said = image.defective ? ["missed ✗", "found ✓"] : ["passed ✓", "false alarm ✗"];
  const parts = [image.defective ? image.type : "good"];
  if (image.called !== null) parts.push(said[Number(image.called)]);
  if (image.outcome !== "ok") parts.push(image.outcome);
  return parts.join(" · ");
}
function numbers(image) {
  const parts = [];
  if (image.score_value !== null) parts.push(`score ${Number(image.score_value).toPrecision(3)}`);
  if (image.iou !== null) parts.push(`IoU ${image.iou.toFixed(2)}`);
  return parts.join(" · ");
}
function drawMore() {
  const next = list.slice(drawn, drawn + PAGE);
  $("grid").append(...next.map((image, k) => tile(image, drawn + k)));
  drawn += next.length;
  $("more").hidden = drawn >= list.length;
}
function show(at) {
  if (at < 0 || at >= list.length) return;
  current = at;
  const image = list[at];
  $("v-title").textContent = image.id;
  const views = [["image", "photograph"], ["truth", "ground truth"], ["score", "score map"], ["mask", "mask"]];
  $("v-views").replaceChildren(...views.map(([layer, name]) => make("figure", {},
    make("div", { className: "stack" }, picture(image, layer, `${name} of ${image.id}`)
      ?? make("span", { className: "soft", textContent: layer !== "truth" ? "none" : image.masked ? "no defect" : "no mask: label alone" })),
    make("figcaption", { textContent: name }))));
  offerOthers();
  overlay();
  const facts = [["category", image.category], ["truth", image.defective ? image.type : "good"],
    ["called", image.called === null ? null : image.called ? "defective" : "good"], ["image score", image.score_value],
    ["IoU", image.iou], ["outcome", image.outcome], ["message", image.message], ...Object.entries(image.extra ?? {})];
  $("v-facts").replaceChildren(...facts.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([key, value]) => [make("dt", { textContent: key }), make("dd", { textContent: String(value) })]));
  $("rationale").textContent = image.rationale ?? "";
  $("v-said").hidden = !image.rationale;
  $("v-prev").disabled = at === 0;
  $("v-next").disabled = at === list.length - 1;
  remember(image.id);
  if (!$("viewer").open) $("viewer").showModal();
}
function overlay() {
  const layer = $("v-layer").value, strength = Number($("v-slider").value) / 100;
  $("v-stack").replaceChildren(...stack(list[current], layer, strength));
  const other = $("v-beside").value && run(Number($("v-beside").value)).images.find(({ id }) => id === list[current].id);
  $("v-other").hidden = !other;
  if (!other) return;
  $("v-other").querySelector(".stack").replaceChildren(...stack(other, layer, strength));
  const name = $("v-beside").selectedOptions[0].textContent;
  $("v-other").querySelector("figcaption").textContent = [name, verdict(other), numbers(other)].filter(Boolean).join(" · ");
}
/** Offer the other runs on the same images. */
function offerOthers() {
  const own = $("g-run").selectedOptions[0];
  const others = [...$("g-run").options].filter((o) => o !== own && o.dataset.pool === own.dataset.pool);
  const kept = others.some((o) => o.value === $("v-beside").value) ? $("v-beside").value : "";
  $("v-beside").replaceChildren(new Option("no other run", ""), ...others.map((o) => new Option(o.textContent, o.value)));
  $("v-beside").value = kept;
}
if ($("gallery")) {
  for (const id of ["g-run", "g-sort", "g-search", "g-view"]) $(id).addEventListener("input", listImages);
  $("more").querySelector("button").addEventListener("click", drawMore);
  new IntersectionObserver((seen) => { if (list.length && seen[0].isIntersecting) drawMore(); }, { rootMargin: "400px" })
    .observe($("more"));
  $("v-layer").addEventListener("input", overlay);
  $("v-slider").addEventListener("input", overlay);
  $("v-beside").addEventListener("input", overlay);
  $("v-prev").addEventListener("click", () => show(current - 1));
  $("v-next").addEventListener("click", () => show(current + 1));
  $("v-close").addEventListener("click", () => $("viewer").close());
  $("viewer").addEventListener("close", () => { // told late: by then the address may lead elsewhere
    if (new URLSearchParams(location.hash.slice(2)).has("image")) remember();
  });
  $("viewer").addEventListener("keydown", (event) => {
    if (event.target === $("v-slider") || event.target.tagName === "SELECT") return;
    if (event.key === "ArrowLeft") show(current - 1);
    if (event.key === "ArrowRight") show(current + 1);
  });
  // the pictures are read when the section comes into view, so that the page itself stands at once
  const first = new IntersectionObserver((seen) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    first.disconnect();
    listImages();
  }, { rootMargin: "600px" });
  first.observe($("gallery"));
}
function follow() {
  const image = recall();
  if (!$("gallery") || !location.hash.startsWith("#?")) return;
  if (image || listed) listImages();
  const at = image ? list.findIndex(({ id }) => id === image) : -1;
  if (at >= 0) show(at);
  else $("viewer").close();
}
addEventListener("hashchange", follow);
follow();
