/**
 * A clock in the picture, for a page's camera and for a page that watches: the 40 blocks of live/demo/pixel_clock.py.
 *
 * Added to a page before its own scripts. The host's camera becomes a canvas with the clock in its lowest rows; the
 * viewer notes, for each item that appears beside the video, the row of luma that was on screen at that moment.
 */
(() => {
  const BLOCKS = 40;
  /** The clock's height, as a share of the picture's: a layer may be smaller. */
  const BAR = 16 / 360;
  const clock = () => performance.timeOrigin + performance.now();

  /** White or black, left to right: a marker, 32 bits of milliseconds, 4 of check, a marker. */
  function blocks(nowMs) {
    const value = Math.floor(nowMs) % 2 ** 32;
    let folded = 15;
    for (let rest = value; rest > 0; rest = Math.floor(rest / 16)) folded ^= rest % 16;
    const code = [...value.toString(2).padStart(32, "0"), ...folded.toString(2).padStart(4, "0")].map(Number);
    return [1, 0, ...code, 1, 0];
  }

  function camera(width = 640, height = 360, perSecond = 30) {
    const bar = height * BAR;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const pen = canvas.getContext("2d");
    const draw = () => {
      pen.fillStyle = `hsl(${(clock() / 40) % 360} 40% 60%)`;
      pen.fillRect(0, 0, width, height - bar);
      blocks(clock()).forEach((white, index) => {
        pen.fillStyle = white ? "#fff" : "#000";
        pen.fillRect((index * width) / BLOCKS, height - bar, width / BLOCKS, bar);
      });
    };
    draw();
    setInterval(draw, 1000 / perSecond);
    const context = new AudioContext();
    addEventListener("pointerdown", () => context.resume(), { once: true }); // until then it may not run
    const sound = context.createMediaStreamDestination();
    const source = context.createOscillator(); // a destination without a source sends nothing at all
    source.connect(sound);
    source.start();
    return new MediaStream([...canvas.captureStream(perSecond).getTracks(), ...sound.stream.getTracks()]);
  }

  function row(video) {
    if (!video?.videoWidth) return null;
    const pen = new OffscreenCanvas(video.videoWidth, 1).getContext("2d", { willReadFrequently: true });
    pen.drawImage(video, 0, Math.floor(video.videoHeight * (1 - BAR / 2)), video.videoWidth, 1, 0, 0, video.videoWidth, 1);
    return Array.from(pen.getImageData(0, 0, video.videoWidth, 1).data.filter((_, index) => index % 4 === 1));
  }

  /** Each appearance of a card: `{card, atMs, row}`. The observer runs before the browser paints the card. */
  const appeared = [];
  let there = new Set();
  function look() {
    const cards = new Set([...document.querySelectorAll("[data-testid^=pin-card-]")].map((card) => card.dataset.testid));
    for (const card of cards) {
      if (!there.has(card)) appeared.push({ card, atMs: clock(), row: row(document.querySelector("video")) });
    }
    there = cards;
  }

  window.burnedClock = {
    useAsCamera: () => (navigator.mediaDevices.getUserMedia = async () => camera()),
    watch: () => new MutationObserver(look).observe(document, { subtree: true, childList: true }),
    appeared,
    row,
  };
})();
