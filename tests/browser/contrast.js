// Returns the visible texts of the page whose contrast to what is behind them is below 4.5 to 1.
() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  function painted(...layers) {
    for (const layer of layers) {
      paint.fillStyle = layer;
      paint.fillRect(0, 0, 1, 1);
    }
    return paint.getImageData(0, 0, 1, 1).data;
  }

  function luminance(color) {
    const [red, green, blue] = Array.from(color, (value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  const poor = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const holder = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim();
    if (!text || !holder.checkVisibility() || holder.closest("option")) continue;
    const behind = [];
    for (let one = holder; one; one = one.parentElement) behind.unshift(getComputedStyle(one).backgroundColor);
    const back = luminance(painted("white", ...behind));
    const front = luminance(painted(getComputedStyle(holder).color));
    const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    if (ratio < 4.5) poor.add(`${holder.className || holder.nodeName}, ${ratio.toFixed(2)}: ${text.slice(0, 30)}`);
  }
  return [...poor];
}
