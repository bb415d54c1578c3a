// Elements of the page. What comes from data enters as text, never as markup.

export const find = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function option(value, text) {
  return make("option", { value }, text);
}

const plain = new Intl.NumberFormat("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });

export const written = (value) => plain.format(value).replace("-", "−");
export const fixed = (value) => value.toFixed(2).replace("-", "−");
export const percent = (share) => `${plain.format(100 * share)}\u00a0%`;
export const counted = (count) => count.toLocaleString("en");

// A button with a picture, one of a list: the arrow keys go from one to the next.
export function tile(painter, row, name, choose) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  painter.draw(canvas, row);
  const button = make("button", { role: "option", "aria-label": name, "aria-selected": "false", tabIndex: -1 }, canvas);
  button.addEventListener("click", choose);
  return button;
}

export function fillList(list, tiles) {
  list.replaceChildren(...tiles);
  if (tiles.length) tiles[0].tabIndex = 0;
}

export function select(list, index) {
  [...list.children].forEach((item, other) => item.setAttribute("aria-selected", String(other === index)));
}

const MOVES = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

export function followArrows(list) {
  list.addEventListener("keydown", (event) => {
    if (!(event.key in MOVES)) return;
    const items = [...list.children];
    const index = items.indexOf(document.activeElement) + MOVES[event.key];
    const next = items[Math.min(items.length - 1, Math.max(0, index))];
    for (const item of items) item.tabIndex = item === next ? 0 : -1;
    next.focus();
    event.preventDefault();
  });
}
