"use strict";
// Texts that came from models or file names reach the page through textContent, or inside HTML that was escaped as it was
// written; the page's policy runs no script but this one and the charts' library.
const $ = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
/** What lies behind this script is data: it is there once the file is read whole, long after the first view. */
const whole = new Promise((done) => addEventListener("DOMContentLoaded", done));
const blob = (id) => JSON.parse($(id).textContent);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const counted = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
/** Call once with each element that matches, when it comes near the view: a page of hundreds of runs stands at once. */
function whenSeen(selector, then, root = document) {
  const waiting = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) { waiting.unobserve(target); then(target); }
  }, { rootMargin: "300px" });
  all(selector, root).forEach((element) => waiting.observe(element));
}

const growing = new Map(); // place → functions that make the elements which it still lacks
/** Append elements, the first at once and as many more after each frame, so that a key press need not wait for all. */
function grow(place, atOnce, makers) {
  if (growing.get(place)?.length) return growing.get(place).push(...makers);
  growing.set(place, makers);
  const step = () => {
    if (growing.get(place) !== makers) return; // the place was emptied meanwhile
    place.append(...makers.splice(0, atOnce).map((one) => one()));
    if (makers.length) requestAnimationFrame(() => setTimeout(step)); // behind the frame, so that it is painted first
  };
  step();
}
function empty(place) {
  growing.delete(place);
  place.replaceChildren();
}
/** Append all that is still to come: before the page is printed, or goes to a place below. */
function growWhole() {
  for (const [place, makers] of growing) place.append(...makers.splice(0).map((one) => one()));
}
addEventListener("beforeprint", growWhole);

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
  return { background: null, font: "system-ui, sans-serif", axis, legend: { labelColor: ink }, rule: { color: ink }, text: { color: ink }, header: { labelColor: ink }, view: { stroke: null } };
}
function drawChart(box) {
  if (!window.vegaEmbed) document.head.append(make("script", { textContent: $("chart-library").textContent }));
  const place = box.querySelector(".place") ?? box.appendChild(make("div", { className: "place", ariaHidden: "true" }));
  box.classList.add("drawn");
  const options = { renderer: "svg", ast: true, actions: false, config: chartLook() }; // ast: no code is made of texts
  return vegaEmbed(place, JSON.parse(box.querySelector("script").textContent), options);
}
whole.then(() => whenSeen(".chart", drawChart));
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
