"""Play a show with GStreamer's webrtcbin: `gst_player.py URL TOKEN CODEC`, under the system's Python.

Prints one JSON line a second: decoded pictures and decoded sound buffers so far.
"""

import json
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402 - versions come first

URL, TOKEN, CODEC = sys.argv[1:4]
CAPS = {
    "VP8": "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000",
    "H264": "application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f",
    "opus": "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2",
}
kept = []
counts = {"video": 0, "audio": 0}

Gst.init(None)
pipeline = Gst.Pipeline()
peer = Gst.ElementFactory.make("webrtcbin")
peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
pipeline.add(peer)


def offered(promise):
    reply = promise.get_reply()  # owns the description: it must outlive the call
    kept.append(reply)
    peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())


def gathered(*_):
    if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
        GLib.idle_add(exchange)


def exchange():
    sdp = peer.get_property("local-description").sdp.as_text()
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(URL, sdp.encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        _, answer = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(reply.read(), answer)
    description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, answer)
    kept.append(description)
    peer.emit("set-remote-description", description, Gst.Promise.new())
    return False


def received(_peer, pad):
    if pad.direction == Gst.PadDirection.SRC:
        decoder = Gst.ElementFactory.make("decodebin")
        decoder.connect("pad-added", decoded)
        pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))


def decoded(_decoder, pad):
    kind = pad.get_current_caps().get_structure(0).get_name().split("/")[0]
    sink = Gst.ElementFactory.make("fakesink")
    pipeline.add(sink)
    sink.sync_state_with_parent()
    pad.add_probe(Gst.PadProbeType.BUFFER, count, kind)
    pad.link(sink.get_static_pad("sink"))


def count(_pad, _info, kind):
    counts[kind] += 1
    return Gst.PadProbeReturn.OK


def tell():
    sys.stdout.write(json.dumps(counts) + "\n")
    sys.stdout.flush()
    return True


peer.connect("notify::ice-gathering-state", gathered)
peer.connect("pad-added", received)
pipeline.set_state(Gst.State.PLAYING)
for codec in ("opus", CODEC):
    peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(CAPS[codec]))
peer.emit("create-offer", None, Gst.Promise.new_with_change_func(offered))
GLib.timeout_add(200, tell)
GLib.MainLoop().run()
