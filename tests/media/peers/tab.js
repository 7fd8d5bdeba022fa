// The fewest lines of WHIP and WHEP that a browser needs; the tests call publish() and play().
let pc = null;
let frames = 0;
let lastFrame = null;
let firstFrameMs = null;
let tracks = [];
let shown = []; // [when it was on the screen (ms since 1970), a row of luma from the machine's clock]
let rewritten = (sdp) => sdp; // what a test makes of an answer on its way: a network that lets no UDP through, say
let settings = {}; // of the next peer connection
let kinds = ["audio", "video"]; // what it plays
const pen = new OffscreenCanvas(640, 1).getContext("2d", { willReadFrequently: true });

function read(video, frame) {
  pen.drawImage(video, 0, video.videoHeight - 8, video.videoWidth, 1, 0, 0, 640, 1);
  const pixels = pen.getImageData(0, 0, 640, 1).data;
  shown.push([frame.presentationTime + Date.now() - performance.now(), Array.from(pixels.filter((_, at) => at % 4 === 1))]);
}

async function exchange(path, token) {
  await pc.setLocalDescription();
  // No wait for candidates: a lite agent needs none of ours (89 ms to the first frame, not 224).
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/sdp", Authorization: "Bearer " + token },
    body: pc.localDescription.sdp,
  });
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(answer.status + " " + text);
  await pc.setRemoteDescription({ type: "answer", sdp: rewritten(text) });
  return answer.headers.get("Location");
}

async function publish(show, token, codec) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360, frameRate: 30 } });
  pc = new RTCPeerConnection(settings);
  for (const track of stream.getTracks()) {
    const transceiver = pc.addTransceiver(track, { direction: "sendonly" });
    if (track.kind === "video") {
      const all = RTCRtpSender.getCapabilities("video").codecs;
      transceiver.setCodecPreferences(all.filter((item) => item.mimeType.endsWith(codec) || item.mimeType.endsWith("/rtx")));
    }
  }
  return exchange("/whip/" + show, token);
}

// Chromium sends three layers from 960 x 540 on, and wants the lowest first.
async function publishLayers(show, token, encodings, size = { width: 1280, height: 720 }) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { ...size, frameRate: 30 } });
  pc = new RTCPeerConnection();
  pc.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly" });
  const transceiver = pc.addTransceiver(stream.getVideoTracks()[0], { direction: "sendonly", sendEncodings: encodings });
  const all = RTCRtpSender.getCapabilities("video").codecs;
  transceiver.setCodecPreferences(all.filter((item) => /VP8|rtx/.test(item.mimeType)));
  return exchange("/whip/" + show, token);
}

async function pauseLayer(rid, active) {
  const sender = pc.getSenders().find(({ track }) => track.kind === "video");
  const parameters = sender.getParameters();
  for (const encoding of parameters.encodings) if (encoding.rid === rid) encoding.active = active;
  await sender.setParameters(parameters);
}

// Chromium knows the extension and does not offer it unasked.
function askForCaptureTime(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  for (const one of extensions) if (one.uri.endsWith("/abs-capture-time")) one.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate?.(extensions);
}

// When the picture on the screen was captured, and how long ago that is; ms since 1970.
function captured() {
  const receiver = pc.getReceivers().find((one) => one.track.kind === "video");
  const [source] = receiver.getSynchronizationSources();
  if (source?.captureTimestamp === undefined) return null;
  const ticks = (lastFrame.rtpTimestamp - source.rtpTimestamp) | 0;
  const at = source.captureTimestamp - 2208988800000 + ticks / 90;
  return { at, ago: performance.timeOrigin + lastFrame.presentationTime - at, rtpTimestamp: lastFrame.rtpTimestamp };
}

async function play(show, token, codecs, readsClock) {
  const began = performance.now();
  pc = new RTCPeerConnection(settings);
  const video = document.body.appendChild(document.createElement("video"));
  video.autoplay = true;
  video.playsInline = true;
  const stream = new MediaStream();
  pc.addEventListener("track", (event) => { stream.addTrack(event.track); tracks.push(event.track.kind); });
  video.srcObject = stream;
  const count = (_, frame) => {
    frames += 1;
    lastFrame = frame;
    if (readsClock) read(video, frame);
    firstFrameMs ??= performance.now() - began;
    video.requestVideoFrameCallback(count);
  };
  video.requestVideoFrameCallback(count);
  for (const kind of kinds) {
    const transceiver = pc.addTransceiver(kind, { direction: "recvonly" });
    if (kind === "video") askForCaptureTime(transceiver);
    if (kind === "video" && codecs) {
      const all = RTCRtpReceiver.getCapabilities("video").codecs;
      transceiver.setCodecPreferences(all.filter((item) => codecs.some((codec) => item.mimeType.endsWith(codec))));
    }
  }
  return exchange("/whep/" + show, token);
}

async function stats() {
  const found = { frames, firstFrameMs, shown };
  const all = await pc.getStats();
  for (const report of all.values()) {
    if (report.type === "inbound-rtp" || report.type === "outbound-rtp") found[report.kind] = report;
    if (report.type === "remote-inbound-rtp") found["remote_" + report.kind] = report;
    if (report.type === "codec") found["codec_" + report.mimeType] = report.payloadType;
    if (report.type === "transport") {
      found.transport = report;
      const pair = all.get(report.selectedCandidatePairId);
      found.way = pair && { local: all.get(pair.localCandidateId), remote: all.get(pair.remoteCandidateId) };
    }
  }
  return found;
}
