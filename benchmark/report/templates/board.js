// Leaderboard: all datasets by one metric, or one dataset by all metrics; made when what it shows changes ---------------
const board = blob("board-data");
const VALUE = 0, SORT = 1, SPAN = 2, REMARK = 3, RANK = 4, OF = 5;
const IMAGES = -1; // in place of a metric: how many images
const ROWS_AT_ONCE = 24;
let sorting = null; // what the table is sorted by: the text of a heading, and whether it descends
let heads = []; // text and title of the headings after the first
let lines = []; // rows of what is chosen, in their order: { row, entries, differs, cells: [[entry, metric], …], element }

const chosenColumn = () => board.columns.findIndex(({ name }) => name === $("f-dataset").value);
const chosenMetric = () => Number($("f-metric").value);

/** One value with its interval and rank; where datasets stand side by side, in a holder that can be hidden, with a link. */
function valueCell([entry, metric], several, tags) {
  const cell = make("td", { className: "n" });
  if (metric === IMAGES) cell.textContent = entry.images;
  if (metric === IMAGES || !entry?.cells[metric][VALUE]) return cell;
  const [value, , span, remark, rank, of] = entry.cells[metric];
  if (remark) cell.title = remark;
  if (rank === 1 && of > 1) cell.classList.add("best");
  const number = make("b", { textContent: value });
  const holder = several ? cell.appendChild(make("div")) : cell;
  holder.append(several && entry.anchor ? make("a", { href: `#${entry.anchor}` }, number) : number);
  const told = [span, of > 1 ? `rank ${rank} of ${of}` : ""].filter(Boolean).join("\n");
  if (told) holder.append(make("small", { textContent: told }));
  if (several) holder.append(...tags.map(tagOf));
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
/** The element of a row, made when it is first shown. */
function elementOf(line) {
  const several = chosenColumn() < 0, shared = new Set(sharedTags(line.entries).map(({ text }) => text));
  const own = ([entry]) => (entry?.tags ?? []).filter(({ text }) => !shared.has(text));
  line.element ??= make("tr", { className: line.row.paper ? "paper" : "run" },
    nameCell(line.row, line.entries, line.differs, several), ...line.cells.map((cell) => valueCell(cell, several, own(cell))));
  return line.element;
}
/** Headings and rows of what is chosen. */
function laidOut() {
  const at = chosenColumn(), metric = chosenMetric();
  const entries = Map.groupBy(at < 0 ? board.entries : board.entries.filter(({ col }) => col === at), ({ row }) => row);
  const rows = [...entries].map(([row, own]) => [board.rows[row], own])
    .filter(([row, own]) => at >= 0 || !row.paper || own.some(({ cells }) => cells[metric][VALUE]));
  if (at < 0) {
    return [board.columns.map(({ name }) => [name, ""]), rows.map(([row, own]) => {
      const byColumn = new Map(own.map((entry) => [entry.col, entry]));
      return { row, entries: own, differs: row.differs, cells: board.columns.map((_, col) => [byColumn.get(col), metric]) };
    })];
  }
  const order = board.metrics.map((_, k) => k).sort((a, b) => (b === metric) - (a === metric) || a - b)
    .filter((k) => rows.some(([, [entry]]) => entry.cells[k][VALUE]));
  return [
    [["images", ""], ...order.map((k) => [board.metrics[k].title, board.metrics[k].description])],
    rows.map(([row, own]) => ({ row, entries: own, differs: own[0].differs, cells: [IMAGES, ...order].map((k) => [own[0], k]) })),
  ];
}
/** Own runs before those that came along before published ones; in each whole runs first, the best of the first column ahead. */
function inUsualOrder(rows, at) {
  const metric = chosenMetric(), higher = board.metrics[metric].higher ? 1 : -1;
  const key = ({ row, entries }) => {
    const first = entries.reduce((a, b) => (b.col < a.col ? b : a));
    const sort = first.cells[metric][SORT];
    const known = entries.filter((entry) => entry.cells[metric][SORT] !== "");
    return [row.paper, entries.every(({ reference }) => reference), !known.length, entries.every(({ partial }) => partial),
      at < 0 ? Math.min(...known.map(({ col }) => col), 1e9) : 0, sort === "" ? 0 : -higher * Number(sort)];
  };
  const keyed = rows.map((line) => [key(line), line]);
  keyed.sort(([x], [y]) => {
    const k = x.findIndex((value, place) => value !== y[place]);
    return k < 0 ? 0 : x[k] - y[k];
  });
  return keyed.map(([, line]) => line);
}
function drawBoard() {
  const at = chosenColumn(), metric = board.metrics[chosenMetric()];
  [heads, lines] = laidOut();
  lines = inUsualOrder(lines, at);
  const table = $("board").querySelector("table");
  table.tHead.rows[0].replaceChildren(make("th", { scope: "col", textContent: "method" }), ...heads.map(([text, title]) => {
    const button = make("button", { type: "button", textContent: text, title });
    const head = make("th", { scope: "col" }, button);
    button.addEventListener("click", () => { sortBoard(text, head.getAttribute("aria-sort") !== "descending"); filterBoard(); remember(); });
    return head;
  }));
  const data = board.columns[at];
  table.caption.textContent = at < 0 ? `${metric.title}: ${metric.description}. Methods × datasets.` : `${data.name}: every metric.`;
  const notes = data ? [...data.notes, data.constants && `Constant answers on the same labels, all images together: ${data.constants}.`] : [];
  $("b-notes").replaceChildren(...notes.filter(Boolean).map((text) => make("p", { className: "soft", textContent: text })));
  if (sorting && !sortBoard(...sorting)) sorting = null;
  filterBoard();
}
function sortValue([entry, metric]) {
  if (metric === IMAGES) return entry.n || NaN;
  const sort = entry?.cells[metric][VALUE] ? entry.cells[metric][SORT] : "";
  return sort === "" ? NaN : Number(sort);
}
/** Sort by the column under a heading; returns whether there is one. */
function sortBoard(text, down) {
  const at = heads.findIndex(([head]) => head === text);
  if (at < 0) return false;
  sorting = [text, down];
  const shown = all("th", $("board").querySelector("thead"));
  shown.forEach((other) => other.removeAttribute("aria-sort"));
  shown[at + 1].setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = new Map(lines.map((line) => [line, sortValue(line.cells[at])]));
  lines.sort((a, b) => {
    const x = value.get(a), y = value.get(b);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return down ? y - x : x - y;
  });
  return true;
}
const words = (id) => $(id).value.toLowerCase().split(/\s+/).filter(Boolean);
for (const entry of board.entries) entry.text = entry.text.toLowerCase();
/** Show the rows that fit what is searched, those of the first view at once and the others frame by frame. */
function filterBoard() {
  const wanted = words("search"), protocol = $("f-protocol").value, several = chosenColumn() < 0;
  const papers = $("f-paper").checked, partial = $("f-partial").checked;
  const fits = ({ text, partial: part }) => (partial || !part) && wanted.every((word) => text.includes(word));
  const shown = lines.filter(({ row, entries }) =>
    (!protocol || row.protocol === protocol) && (papers || !row.paper) && entries.some(fits));
  const body = $("board").querySelector("tbody");
  empty(body);
  grow(body, ROWS_AT_ONCE, shown.map((line) => () => {
    const element = elementOf(line);
    if (several) line.cells.forEach(([entry], at) => {
      const holder = element.cells[at + 1].firstElementChild;
      if (holder) holder.hidden = !fits(entry);
    });
    return element;
  }));
  $("shown").textContent = `${shown.length} of ${counted(lines.length, "row")}`;
}
for (const id of ["f-dataset", "f-metric"]) $(id).addEventListener("input", drawBoard);
for (const id of ["search", "f-protocol", "f-paper", "f-partial"]) $(id).addEventListener("input", filterBoard);
