// One image: its layers, another run beside it, zoom ------------------------------------------------------------------
let current = -1;
const zoom = { by: 1, x: 0, y: 0 }; // how many times, and where to, in shares of the picture's side

function show(at, beside = null) {
  if (at < 0 || at >= list.length) return;
  current = at;
  const image = list[at];
  $("v-title").textContent = image.id;
  offerOthers(beside);
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
  if (!$("viewer").open) $("viewer").showModal();
  zoomTo(1, 0, 0);
}
function otherRun() {
  return $("v-beside").value ? run(Number($("v-beside").value)) : null;
}
/** The scores at the ends of the colours: of the run, or of both runs where two stand side by side on one scale. */
function scales() {
  const own = chosenRun().scale, theirs = otherRun()?.scale;
  if (!own || !theirs || $("v-scale").value === "own") return [own, theirs];
  const both = [Math.min(own[0], theirs[0]), Math.max(own[1], theirs[1])];
  return [both, both];
}
function overlay() {
  const layer = $("v-layer").value, strength = Number($("v-slider").value) / 100;
  const image = list[current];
  if (!image) return;
  const other = otherRun()?.images.find(({ id }) => id === image.id);
  const [own, theirs] = scales();
  const views = [["image", "photograph"], ["truth", "ground truth"], ["score", "score map"], ["mask", "mask"]];
  $("v-views").replaceChildren(...views.map(([part, name]) => make("figure", {},
    make("div", { className: "stack" }, picture(image, part, `${name} of ${image.id}`, own)
      ?? make("span", { className: "soft", textContent: part !== "truth" ? "none" : image.masked ? "no defect" : "no mask: label alone" })),
    make("figcaption", { textContent: name }))));
  $("v-stack").replaceChildren(...stack(image, layer, strength, own));
  const name = (select) => $(select).selectedOptions[0].textContent;
  $("v-said-here").textContent = [other ? name("g-run") : "", verdict(image), numbers(image)].filter(Boolean).join(" · ");
  const common = other && own && theirs && $("v-scale").value !== "own";
  const what = common ? "one scale for both runs" : "one scale for all images of the run";
  $("v-legend").replaceChildren(...(own ? legend(own, what) : []));
  $("v-other").hidden = !other;
  $("v-scales").hidden = !(other && own && theirs);
  if (!other) return;
  $("v-other").querySelector(".stack").replaceChildren(...stack(other, layer, strength, theirs));
  $("v-other").querySelector("figcaption").textContent = [name("v-beside"), verdict(other), numbers(other)].filter(Boolean).join(" · ");
  $("v-other-legend").replaceChildren(...(theirs && !common ? legend(theirs, "the scale of the run beside") : []));
}
/** Offer the other runs on the same images; the one that is named, or that was chosen, stays. */
function offerOthers(wanted) {
  const own = $("g-run").selectedOptions[0];
  const others = [...$("g-run").options].filter((o) => o !== own && o.dataset.pool === own.dataset.pool);
  const text = wanted ?? $("v-beside").selectedOptions[0]?.textContent;
  $("v-beside").replaceChildren(new Option("no other run", ""), ...others.map((o) => new Option(o.textContent, o.value)));
  $("v-beside").value = others.find((o) => o.textContent === text)?.value ?? "";
}
function zoomTo(by, x, y) {
  const fine = [by, x, y].every(Number.isFinite);
  zoom.by = fine ? Math.min(12, Math.max(1, by)) : 1;
  const most = (zoom.by - 1) / 2; // no further than the picture's edge
  zoom.x = fine ? Math.min(most, Math.max(-most, x)) : 0;
  zoom.y = fine ? Math.min(most, Math.max(-most, y)) : 0;
  $("v-zoom").textContent = `${shortly(zoom.by)}×`;
  for (const box of all(".big .stack")) {
    box.style.setProperty("--zoom", zoom.by);
    box.style.touchAction = zoom.by > 1 ? "none" : "";
    box.style.setProperty("--x", `${100 * zoom.x}%`);
    box.style.setProperty("--y", `${100 * zoom.y}%`);
  }
  remember();
}
/** Zoom about a point, given in shares of the picture's side from its middle. */
function zoomBy(factor, x = 0, y = 0) {
  const by = Math.min(12, Math.max(1, zoom.by * factor)), ratio = by / zoom.by;
  zoomTo(by, x - (x - zoom.x) * ratio, y - (y - zoom.y) * ratio);
}
function place(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5];
}
if ($("gallery")) {
  for (const id of ["v-layer", "v-slider", "v-beside", "v-scale"]) $(id).addEventListener("input", overlay);
  $("v-prev").addEventListener("click", () => show(current - 1));
  $("v-next").addEventListener("click", () => show(current + 1));
  $("v-close").addEventListener("click", () => $("viewer").close());
  $("v-in").addEventListener("click", () => zoomBy(1.5));
  $("v-out").addEventListener("click", () => zoomBy(1 / 1.5));
  $("v-whole").addEventListener("click", () => zoomTo(1, 0, 0));
  for (const box of all(".big .stack")) {
    box.addEventListener("wheel", (event) => { event.preventDefault(); zoomBy(event.deltaY < 0 ? 1.25 : 0.8, ...place(event)); });
    box.addEventListener("dblclick", (event) => zoomBy(2, ...place(event)));
    box.addEventListener("pointermove", (event) => {
      if (!event.buttons || zoom.by === 1) return;
      const { width, height } = event.currentTarget.getBoundingClientRect();
      zoomTo(zoom.by, zoom.x + event.movementX / width, zoom.y + event.movementY / height);
    });
  }
  $("viewer").addEventListener("close", () => { // back to the tile of the image that was shown last
    remember();
    all(".tile", $("grid"))[current]?.focus();
  });
  $("viewer").addEventListener("keydown", (event) => {
    if (event.target === $("v-slider") || event.target.tagName === "SELECT") return;
    const keys = { ArrowLeft: () => show(current - 1), ArrowRight: () => show(current + 1), "+": () => zoomBy(1.5), "=": () => zoomBy(1.5),
      "-": () => zoomBy(1 / 1.5), 0: () => zoomTo(1, 0, 0) };
    keys[event.key]?.();
  });
}
