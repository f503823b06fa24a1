// The picture under the receptive field: one that is drawn here, or the reader's own.
import { scaleLinear } from "d3-scale";

export type Picture = CanvasImageSource & { width: number; height: number };

/** Hills under a sun, with fine stripes and squares: something to see at every scale. */
export function drawn(width = 448, height = 448): HTMLCanvasElement {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d")!;
  const sky = pen.createLinearGradient(0, 0, 0, height);
  sky.addColorStop(0, "#6fa8dc");
  sky.addColorStop(1, "#f6d9b0");
  pen.fillStyle = sky;
  pen.fillRect(0, 0, width, height);
  pen.fillStyle = "#fff3c4";
  pen.beginPath();
  pen.arc(width * 0.72, height * 0.25, width * 0.09, 0, 2 * Math.PI);
  pen.fill();
  for (const [level, colour, wave] of [[0.55, "#7d9c7a", 3], [0.68, "#56795a", 5], [0.8, "#37533f", 4]] as const) {
    const y = scaleLinear([-1, 1], [height * (level - 0.07), height * (level + 0.05)]);
    pen.fillStyle = colour;
    pen.beginPath();
    pen.moveTo(0, height);
    for (let x = 0; x <= width; x += 4) pen.lineTo(x, y(Math.sin((x / width) * wave * 2.1 + level * 9)));
    pen.lineTo(width, height);
    pen.fill();
  }
  pen.fillStyle = "#b5533c";
  pen.fillRect(width * 0.2, height * 0.62, width * 0.16, height * 0.13);
  pen.fillStyle = "#f2efe6";
  for (let i = 0; i < 3; i++) pen.fillRect(width * (0.22 + 0.05 * i), height * 0.65, width * 0.025, height * 0.04);
  pen.fillStyle = "#7a3325";
  pen.beginPath();
  pen.moveTo(width * 0.18, height * 0.62);
  pen.lineTo(width * 0.28, height * 0.53);
  pen.lineTo(width * 0.38, height * 0.62);
  pen.fill();
  return canvas;
}

/** The middle of a picture, as large as fits the shape of the input. */
export function covered(pen: CanvasRenderingContext2D, picture: Picture, width: number, height: number): void {
  const scale = Math.max(width / picture.width, height / picture.height);
  const [w, h] = [width / scale, height / scale];
  pen.drawImage(picture, (picture.width - w) / 2, (picture.height - h) / 2, w, h, 0, 0, width, height);
}

/** The picture in a file that was dropped or chosen. */
export async function opened(file: File): Promise<Picture> {
  const address = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    return image;
  } finally {
    URL.revokeObjectURL(address);
  }
}
