// Leaderboard: all datasets by one metric, or one dataset by all metrics; made when what it shows changes ---------------
const board = blob("board-data");
const VALUE = 0, SORT = 1, SPAN = 2, REMARK = 3, RANK = 4, OF = 5;
let sorting = null; // what the table is sorted by: the text of a heading, and whether it descends
let shownRows = []; // [element, row of the board, [[holder, entry], …]]

const chosenColumn = () => board.columns.findIndex(({ name }) => name === $("f-dataset").value);
const chosenMetric = () => Number($("f-metric").value);

function valueCell(entry, metric, linked, tags) {
  const cell = make("td", { className: "n" });
  if (!entry?.cells[metric][VALUE]) return cell;
  const [value, sort, span, remark, rank, of] = entry.cells[metric];
  cell.dataset.value = sort;
  if (remark) cell.title = remark;
  if (rank === 1 && of > 1) cell.classList.add("best");
  const number = make("b", { textContent: value });
  const holder = make("div", {}, linked && entry.anchor ? make("a", { href: `#${entry.anchor}` }, number) : number);
  if (span) holder.append(make("small", { textContent: span }));
  if (of > 1) holder.append(make("small", { textContent: `rank ${rank} of ${of}` }));
  if (linked) for (const tag of tags) holder.append(tagOf(tag));
  cell.append(holder);
  return cell;
}
function tagOf({ text, bad, title }) {
  return make("span", { className: bad ? "tag bad" : "tag", textContent: text, title });
}
/** Tags that all entries of a row have; the others stand with their value. */
function sharedTags(entries) {
  return entries[0].tags.filter(({ text }) => entries.every(({ tags }) => tags.some((tag) => tag.text === text)));
}
function nameCell(row, entries, differs, several) {
  const name = !several && entries[0].anchor ? make("a", { href: `#${entries[0].anchor}`, textContent: row.name }) : row.name;
  const cell = make("th", { scope: "row" }, name);
  if (differs) cell.append(make("small", { textContent: differs }));
  if (row.paper || board.protocols.length > 1) cell.append(make("small", { textContent: `protocol ${row.protocol}` }));
  const shown = sharedTags(entries).map(tagOf);
  if (shown.length) cell.append(make("div", {}, ...shown));
  return cell;
}
/** Headings and rows of what is chosen: an array of [text, title] and one of [row, entries, cells]. */
function laidOut() {
  const at = chosenColumn(), metric = chosenMetric();
  const entries = Map.groupBy(at < 0 ? board.entries : board.entries.filter(({ col }) => col === at), ({ row }) => row);
  const rows = [...entries].map(([row, own]) => [board.rows[row], own])
    .filter(([row, own]) => at >= 0 || !row.paper || own.some(({ cells }) => cells[metric][VALUE]));
  if (at < 0) {
    const heads = board.columns.map(({ name }) => [name, ""]);
    return [heads, rows.map(([row, own]) => {
      const byColumn = new Map(own.map((entry) => [entry.col, entry]));
      const shared = new Set(sharedTags(own).map(({ text }) => text));
      return [row, own, board.columns.map((_, col) => {
        const entry = byColumn.get(col);
        return [valueCell(entry, metric, true, entry?.tags.filter(({ text }) => !shared.has(text))), entry];
      }), row.differs];
    })];
  }
  const order = board.metrics.map((_, k) => k).sort((a, b) => (b === metric) - (a === metric) || a - b)
    .filter((k) => rows.some(([, [entry]]) => entry.cells[k][VALUE]));
  const heads = [["images", ""], ...order.map((k) => [board.metrics[k].title, board.metrics[k].description])];
  return [heads, rows.map(([row, own]) => {
    const [entry] = own, images = make("td", { className: "n", textContent: entry.images });
    images.dataset.value = entry.n || "";
    return [row, own, [images, ...order.map((k) => valueCell(entry, k, false))].map((cell) => [cell, entry]), entry.differs];
  })];
}
/** Own runs before those that came along before published ones; in each the best of the first column first. */
function usualOrder(at) {
  const metric = chosenMetric(), higher = board.metrics[metric].higher ? 1 : -1;
  const key = ([row, own]) => {
    const first = own.reduce((a, b) => (b.col < a.col ? b : a));
    const sort = first.cells[metric][SORT];
    const known = own.filter((entry) => entry.cells[metric][SORT] !== "");
    return [row.paper, own.every(({ reference }) => reference), !known.length,
      at < 0 ? Math.min(...known.map(({ col }) => col), 1e9) : 0, sort === "" ? 0 : -higher * Number(sort)];
  };
  return (a, b) => {
    const x = key(a), y = key(b);
    const k = x.findIndex((value, place) => value !== y[place]);
    return k < 0 ? 0 : x[k] - y[k];
  };
}
function drawBoard() {
  const at = chosenColumn(), metric = board.metrics[chosenMetric()];
  const [heads, rows] = laidOut();
  rows.sort(usualOrder(at));
  const table = $("board").querySelector("table");
  table.tHead.rows[0].replaceChildren(make("th", { scope: "col", textContent: "method" }), ...heads.map(([text, title]) => {
    const button = make("button", { type: "button", textContent: text, title });
    const head = make("th", { scope: "col" }, button);
    button.addEventListener("click", () => { sortBoard(text, head.getAttribute("aria-sort") !== "descending"); remember(); });
    return head;
  }));
  shownRows = rows.map(([row, entries, cells, differs]) => [
    make("tr", { className: row.paper ? "paper" : "run" }, nameCell(row, entries, differs, at < 0), ...cells.map(([cell]) => cell)),
    row, cells.filter(([cell]) => cell.firstElementChild).map(([cell, entry]) => [cell.firstElementChild, entry]).concat(at < 0 ? [] : [[null, entries[0]]]),
  ]);
  table.tBodies[0].replaceChildren(...shownRows.map(([element]) => element));
  const data = board.columns[at];
  table.caption.textContent = at < 0 ? `${metric.title}: ${metric.description}. Methods × datasets.` : `${data.name}: every metric.`;
  const notes = data ? [...data.notes, data.constants && `Constant answers on the same labels, all images together: ${data.constants}.`] : [];
  $("b-notes").replaceChildren(...notes.filter(Boolean).map((text) => make("p", { className: "soft", textContent: text })));
  if (sorting && !sortBoard(...sorting)) sorting = null;
  filterBoard();
}
/** Sort by the column under a heading; returns whether there is one. */
function sortBoard(text, down) {
  const table = $("board").querySelector("table");
  const head = all("th", table.tHead).find((one) => one.textContent === text && one.querySelector("button"));
  if (!head) return false;
  sorting = [text, down];
  all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => row.cells[head.cellIndex].dataset.value ? Number(row.cells[head.cellIndex].dataset.value) : NaN;
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => {
    const x = value(a), y = value(b);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return down ? y - x : x - y;
  }));
  return true;
}
const words = (id) => $(id).value.toLowerCase().split(/\s+/).filter(Boolean);
for (const entry of board.entries) entry.text = entry.text.toLowerCase();
function filterBoard() {
  const wanted = words("search"), protocol = $("f-protocol").value;
  const papers = $("f-paper").checked, partial = $("f-partial").checked;
  const fits = ({ text, partial: part }) => (partial || !part) && wanted.every((word) => text.includes(word));
  let shown = 0;
  for (const [element, row, cells] of shownRows) {
    const possible = (!protocol || row.protocol === protocol) && (papers || !row.paper);
    let some = false;
    for (const [holder, entry] of cells) {
      if (!entry) continue;
      const here = possible && fits(entry);
      if (holder) holder.hidden = !here;
      some ||= here;
    }
    element.hidden = !some;
    shown += some;
  }
  $("shown").textContent = `${shown} of ${counted(shownRows.length, "row")}`;
}
for (const id of ["f-dataset", "f-metric"]) $(id).addEventListener("input", drawBoard);
for (const id of ["search", "f-protocol", "f-paper", "f-partial"]) $(id).addEventListener("input", filterBoard);
