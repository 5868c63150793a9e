// Runs --------------------------------------------------------------------------------------------------------------
document.addEventListener("input", ({ target }) => {
  if (!target.matches("select.pick")) return;
  all(".bars", target.closest("details")).forEach((bars, at) => { bars.hidden = at !== Number(target.value); });
});
/** Make what is inside a run when it is opened: hundreds of runs would be hundreds of thousands of elements. */
function fill(details) {
  if (details.children.length > 1) return;
  const inside = make("div", { innerHTML: blob(`in-${details.id}`) });
  details.append(inside);
  whenSeen(".chart", drawChart, inside);
  watchWidths(inside);
}
all("details.later").forEach((details) => details.addEventListener("toggle", () => {
  if (details.open) whole.then(() => fill(details));
  remember();
}));
/** Open the runs of these ids, close the others, and go to the last of them. */
function openRuns(ids) {
  for (const details of all("details.later")) details.open = ids.includes(details.id);
  const last = $(ids.at(-1) ?? "");
  if (!last?.matches("details.later")) return;
  fill(last);
  growWhole();
  last.scrollIntoView();
}
const opened = () => all("details.later[open]").map(({ id }) => id);
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[href^='#']"), id = link?.hash.slice(1);
  if (link) growWhole();
  if (!id?.startsWith("run-") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault(); // the address keeps what is chosen beside the run
  await whole;
  openRuns([...opened().filter((other) => other !== id), id]);
  $(id).querySelector("summary").focus({ preventScroll: true });
});
