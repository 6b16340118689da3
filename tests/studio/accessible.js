// Measures for accessible.py, evaluated in the page. The scope is the open dialog, else the page.

globalThis.accessible = {
  scope: () => [...document.querySelectorAll("dialog[open]")].pop() ?? document.body,

  /** Texts below a contrast of 4.5 (3 if large), and edges of fields below 3. */
  faint() {
    const parsed = (text) => {
      const [r, g, b, alpha = 1] = text.match(/[\d.]+/g).map(Number);
      return { rgb: [r, g, b], alpha };
    };
    const over = ({ rgb, alpha }, below) => rgb.map((value, index) => alpha * value + (1 - alpha) * below[index]);
    const ground = (node) => {
      if (!node) return [255, 255, 255];
      const own = parsed(getComputedStyle(node).backgroundColor);
      return own.alpha === 1 ? own.rgb : over(own, ground(node.parentElement));
    };
    const linear = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const luminance = (rgb) => rgb.reduce((sum, value, index) => sum + linear(value / 255) * [0.2126, 0.7152, 0.0722][index], 0);
    const ratio = (one, other) => {
      const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
      return (high + 0.05) / (low + 0.05);
    };
    const faults = [];
    const check = (node, text, color, least) => {
      const below = ground(node), found = ratio(over(parsed(color), below), below);
      if (found < least) faults.push(`${text.trim().slice(0, 40)}: ${found.toFixed(2)} < ${least}`);
    };
    const shown = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true })
      && !node.closest("option, .visually-hidden, .skip, :disabled, noscript") && node.getBoundingClientRect().width > 1;
    const walker = document.createTreeWalker(accessible.scope(), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent, node = walker.currentNode.parentElement;
      if (!text.trim() || !shown(node)) continue;
      const style = getComputedStyle(node), size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      check(node, text, node instanceof SVGElement ? style.fill : style.color, large ? 3 : 4.5);
    }
    for (const node of accessible.scope().querySelectorAll("input:not([type=range]):not([type=checkbox]), textarea, select")) {
      if (!shown(node)) continue;
      const name = node.id || node.ariaLabel, style = getComputedStyle(node);
      check(node, `value of ${name}`, style.color, 4.5);
      if (node.placeholder) check(node, `placeholder of ${name}`, getComputedStyle(node, "::placeholder").color, 4.5);
      check(node.parentElement, `edge of ${name}`, style.borderTopColor, 3);
    }
    return faults;
  },

  /** What is clicked and smaller than 24 pixels, but for what a larger label belongs to. */
  small: () => [...accessible.scope().querySelectorAll("button, .button, select, input:not(.visually-hidden), nav a, summary")]
    .filter((one) => one.checkVisibility() && !one.closest("label.row, .face"))
    .filter((one) => Math.min(one.getBoundingClientRect().width, one.getBoundingClientRect().height) < 24)
    .map((one) => one.outerHTML.slice(0, 100)),

  outline: () => ({
    title: document.title,
    language: document.documentElement.lang,
    levels: [...accessible.scope().querySelectorAll("h1, h2, h3, h4")].filter((one) => one.checkVisibility()).map((one) => Number(one.tagName[1])),
    ids: [...document.querySelectorAll("[id]")].map((one) => one.id),
  }),

  /** What lies beyond the right edge of the window, but for what scrolls within its own box. */
  cut() {
    const wide = document.documentElement.scrollWidth;
    return [...accessible.scope().querySelectorAll("*")]
      .filter((one) => one.checkVisibility() && !one.closest(".zoom, .samples, .visually-hidden, .skip, svg") && one.getBoundingClientRect().right > innerWidth + 0.5)
      .map((one) => one.outerHTML.slice(0, 100))
      .concat(wide > innerWidth ? [`the page is ${wide} pixels wide`] : []);
  },

  /** What has the focus; null if nothing has. */
  here() {
    const node = document.activeElement;
    if (!node || node === document.body) return null;
    const box = node.getBoundingClientRect(), drop = node.closest(".slot")?.querySelector(".drop");
    const { outlineStyle, outlineWidth } = getComputedStyle(node.classList.contains("visually-hidden") && drop ? drop : node);
    return {
      index: [...document.querySelectorAll("*")].indexOf(node),
      html: node.outerHTML.slice(0, 120),
      ringed: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
      inDialog: Boolean(node.closest("dialog")),
      inView: box.bottom > 0 && box.top < innerHeight,
    };
  },

  /** What the Tab key should reach. */
  reachable: () => [...accessible.scope().querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter((one) => !one.disabled && one.checkVisibility()).map((one) => one.outerHTML.slice(0, 120)),

  /** What the focus is called. */
  name() {
    const one = document.activeElement;
    return (one.ariaLabel ?? one.labels?.[0]?.innerText ?? one.innerText ?? "").trim();
  },

  /** The share of the mask that is painted. */
  painted() {
    const { width, height } = document.getElementById("mask-canvas");
    const { data } = document.getElementById("mask-canvas").getContext("2d").getImageData(0, 0, width, height);
    return data.filter((value, index) => index % 4 === 3 && value > 0).length / (width * height);
  },
};
