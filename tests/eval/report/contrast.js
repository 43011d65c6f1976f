// Texts whose contrast with what they stand on is below the 4.5 that WCAG 2 asks for (level AA).
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };

  const luminance = (colour) => {
    const parts = colour.map((value) => value / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };

  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };

  const poor = [];
  let read = 0;
  for (const element of document.querySelectorAll("body *")) {
    const written = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!written || !element.getClientRects().length || element.matches("script, :disabled, title, desc")) continue;
    const style = getComputedStyle(element);
    const ink = rgba(element.closest("svg") ? style.fill : style.color).slice(0, 3);
    const [more, less] = [luminance(ink), luminance(behind(element))].sort((a, b) => b - a);
    read += 1;
    if ((more + 0.05) / (less + 0.05) < 4.5) poor.push(`${element.tagName}.${element.className}: ${element.textContent.slice(0, 30)}`);
  }
  return { read, poor };
}
