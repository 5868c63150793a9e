// Address: what is chosen, searched, sorted and opened stands behind "#?", so that a link leads to it --------------------
const CHOICES = [
  "f-metric", "f-dataset", "f-protocol", "search", "f-paper", "f-partial", "g-run", "g-sort", "g-search", "g-view",
  "v-layer", "v-beside", "v-scale", "v-slider",
].map($).filter(Boolean);
const named = new Set(["f-metric", "g-run", "v-beside"]); // their values are places, which differ from report to report
const chosen = (element) => element.type === "checkbox" ? String(element.checked)
  : named.has(element.id) ? element.selectedOptions[0]?.textContent : element.value;
function choose(element, value) {
  if (element.type === "checkbox") element.checked = value === "true";
  else if (named.has(element.id)) element.selectedIndex = [...element.options].findIndex((o) => o.textContent === value);
  else element.value = value;
  return element.selectedIndex !== -1; // -1: no such option
}
const usual = new Map(CHOICES.map((element) => [element.id, chosen(element)]));
let following = false; // while an address is followed, what it opens does not write it
let written = location.hash; // any other was followed meanwhile, and is about to be told
function remember() {
  if (following || location.hash !== written) return;
  const state = new URLSearchParams(CHOICES.map((e) => [e.id, chosen(e)]).filter(([id, value]) => value !== usual.get(id)));
  if (sorting) state.set("sort", `${sorting[1] ? "-" : ""}${sorting[0]}`);
  for (const id of opened()) state.append("open", id);
  if ($("viewer")?.open) {
    state.set("image", list[current].id);
    if (zoom.by !== 1) state.set("zoom", [zoom.by, zoom.x, zoom.y].map((v) => v.toFixed(2)).join(","));
  }
  const text = state.toString();
  history.replaceState(null, "", text ? `#?${text}` : "#");
  written = location.hash;
}
/** Choose what the address says; runs and images follow when the file is read whole. */
async function follow() {
  written = location.hash;
  const target = location.hash.startsWith("#run-") && location.hash.slice(1);
  if (target) return whole.then(() => openRuns([target]));
  if (!location.hash.startsWith("#?")) return;
  const state = new URLSearchParams(location.hash.slice(2));
  following = true;
  for (const element of CHOICES.filter(({ id }) => id !== "v-beside")) {
    if (!choose(element, state.get(element.id) ?? usual.get(element.id))) choose(element, usual.get(element.id));
  }
  const sort = state.get("sort");
  sorting = sort && [sort.replace(/^-/, ""), sort.startsWith("-")];
  drawBoard();
  await whole;
  const ids = state.getAll("open");
  if (String(ids) !== String(opened())) openRuns(ids);
  if ($("gallery")) followImages(state);
  following = false;
}
for (const element of CHOICES) element.addEventListener("input", remember);
