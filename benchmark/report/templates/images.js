// Images ------------------------------------------------------------------------------------------------------------
const PAGE = 60, TILES_AT_ONCE = 12, ENDS = 6;
const pools = new Map();
const runs = new Map();
let list = [], listed = false, drawn = 0, headings = new Map();

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
      const text = `${image.id} ${image.category} ${image.type} ${image.rationale ?? ""}`.toLowerCase();
      return { ...image, order, text, image: pictures.image[image.at], truth: pictures.truth[image.at] };
    });
    runs.set(at, data);
  }
  return runs.get(at);
}
const chosenRun = () => run(Number($("g-run").value));
const source = { image: "image/webp", truth: "image/png", mask: "image/png" };
/** One layer of an image alone; null where it has none. */
function picture(data, layer, alt, scale) {
  if (!data[layer]) return null;
  if (layer === "score") return scoreMap(data, scale, false, alt);
  return make("img", { src: `data:${source[layer]};base64,${data[layer]}`, alt, decoding: "async" });
}
function stack(data, layer, strength, scale) {
  const base = picture(data, "image", `photograph ${data.id}`);
  const over = layer === "none" || !data[layer] ? null : layer === "score" ? scoreMap(data, scale, true) : picture(data, layer, "");
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
const ordered = (images, order) => images.filter(wanted[order] ?? (() => true))
  .sort((a, b) => orders[order](a, b) || a.order - b.order);
/** The first false alarms, misses and best images, each once and under its heading, then all others. */
function endsFirst(images) {
  const judged = images.some(({ called }) => called !== null);
  const parts = [
    ["alarms", judged ? "False alarms" : "Good images with the highest scores"],
    ["misses", judged ? "Misses" : "Defective images with the lowest scores"],
    ["best", "Best images"], ["worst", "All others, worst first"],
  ];
  const found = new Set();
  headings = new Map();
  for (const [order, title] of parts) {
    const left = images.filter((image) => !found.has(image) && !(order === "best" && wrong(image)));
    const some = ordered(left, order);
    const shown = order === "worst" ? some : some.slice(0, ENDS);
    if (shown.length) headings.set(found.size, [order, title, some.length - shown.length]);
    shown.forEach((image) => found.add(image));
  }
  return [...found];
}
function listImages() {
  const order = $("g-sort").value, asked = words("g-search");
  const images = chosenRun().images.filter(({ text }) => asked.every((word) => text.includes(word)));
  headings = new Map();
  list = order === "ends" ? endsFirst(images) : ordered(images, order);
  listed = true;
  drawn = 0;
  empty($("grid"));
  $("g-count").textContent = counted(list.length, "image");
  $("g-legend").replaceChildren(...($("g-view").value === "score" && chosenRun().scale
    ? legend(chosenRun().scale, "one scale for all images of the run") : []));
  drawMore();
}
function heading([order, title, left]) {
  const head = make("h3", { textContent: `${title} ` });
  if (left > 0) {
    const button = make("button", { type: "button", textContent: `${left} more` });
    button.addEventListener("click", () => { $("g-sort").value = order; $("g-sort").dispatchEvent(new Event("input")); });
    head.append(button);
  }
  return head;
}
function tile(image, at) {
  const said = image.called === null ? "" : image.called ? ", called defective" : ", called good";
  const label = `${image.id}, ${image.defective ? image.type : "good"}${said}`;
  const button = make("button", { type: "button", className: "tile", title: label },
    make("div", { className: "stack" }, ...stack(image, $("g-view").value, 0.8, chosenRun().scale)),
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
  if (image.score_value !== null) parts.push(`score ${shortly(image.score_value)}`);
  if (image.iou !== null) parts.push(`IoU ${image.iou.toFixed(2)}`);
  return parts.join(" · ");
}
function drawMore() {
  const next = list.slice(drawn, drawn + PAGE).flatMap((image, k) => {
    const at = drawn + k, head = headings.get(at);
    return [...(head ? [() => heading(head)] : []), () => tile(image, at)];
  });
  grow($("grid"), TILES_AT_ONCE, next);
  drawn = Math.min(list.length, drawn + PAGE);
  $("more").hidden = drawn >= list.length;
}
/** Arrows lead from tile to tile; up and down to the nearest one of the next row. */
function moveFocus(event) {
  const tiles = all(".tile", $("grid")), at = tiles.indexOf(document.activeElement);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (at < 0 || !step) return;
  event.preventDefault();
  let next = at + step;
  if (event.key === "ArrowUp" || event.key === "ArrowDown") {
    const from = tiles[at].getBoundingClientRect();
    const rows = tiles.map((tile, k) => [tile.getBoundingClientRect(), k]).filter(([box]) => (box.top - from.top) * step > 1);
    const top = rows.length && (step > 0 ? rows[0] : rows.at(-1))[0].top;
    const near = rows.filter(([box]) => Math.abs(box.top - top) < 1)
      .sort(([a], [b]) => Math.abs(a.left - from.left) - Math.abs(b.left - from.left));
    next = near[0]?.[1] ?? at;
  }
  tiles[next]?.focus();
}
/** What an address says of images: which are listed, and which is open, with what beside it. */
function followImages(state) {
  const image = state.get("image");
  if (image || listed) listImages();
  const at = image ? list.findIndex(({ id }) => id === image) : -1;
  if (at < 0) return $("viewer").close();
  const [by, x, y] = (state.get("zoom") ?? "1,0,0").split(",").map(Number);
  show(at, state.get("v-beside") ?? "");
  zoomTo(by, x, y);
}
if ($("gallery")) {
  for (const id of ["g-run", "g-sort", "g-search", "g-view"]) $(id).addEventListener("input", listImages);
  $("more").querySelector("button").addEventListener("click", drawMore);
  $("grid").addEventListener("keydown", moveFocus);
  new IntersectionObserver((seen) => { if (list.length && seen[0].isIntersecting) drawMore(); }, { rootMargin: "400px" })
    .observe($("more"));
  // the pictures are read when the section comes into view, so that the page itself stands at once
  whole.then(() => {
    const first = new IntersectionObserver((seen) => {
      if (!seen.some((entry) => entry.isIntersecting)) return;
      first.disconnect();
      if (!listed) listImages();
    }, { rootMargin: "600px" });
    first.observe($("gallery"));
  });
}
