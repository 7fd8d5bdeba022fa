"""A light host with two layers, each with numbers of its own: for tests that look at every packet."""

import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from media.core import rtcp
from media.core.reception import ntp

RIDS = ("a", "b")
SIZES = {"a": [500, 300], "b": [1100, 700]}
TICKS = 3000


class Layers:
    """A host with two layers, each with numbers of its own."""

    rids = RIDS

    def __init__(self, host):
        self.host = host
        self.ssrc = {rid: 1000 + n for n, rid in enumerate(RIDS)}
        self.index = {"a": 20_000, "b": 65_530}
        self.timestamp = {"a": 4_294_960_000, "b": 77_000}
        self.shown = 0

    def show(self, *rids, key=()):
        """A picture of each of these layers, taken at one moment."""
        self.shown += 1
        for rid in RIDS:
            self.timestamp[rid] += TICKS
        for rid in rids:
            for number, size in enumerate(SIZES[rid]):
                head = bytes((0x10 if number == 0 else 0, 0 if rid in key else 1))
                self.send(rid, head + bytes((self.shown % 251,)) * (size - 2), marker=number == len(SIZES[rid]) - 1)

    def send(self, rid, payload, *, marker):
        index, self.index[rid] = self.index[rid], self.index[rid] + 1
        stamp = self.timestamp[rid] & 0xFFFFFFFF
        header = struct.pack("!BBHII", 0x90, 96 | marker << 7, index & 0xFFFF, stamp, self.ssrc[rid])
        extension = b"\xbe\xde\x00\x01" + bytes((10 << 4,)) + rid.encode() + bytes(2)
        self.host.send_raw(sealed(self.host.dtls.sender, self.ssrc[rid], index, header + extension, payload))

    def asked(self):
        """The layers of which a keyframe was asked for since the last time."""
        heard, self.host.compounds = self.host.compounds, []
        parts = [part for compound in heard for part in rtcp.parse(compound)]
        ssrcs = {part.ssrc for part in parts if isinstance(part, rtcp.KeyframeRequest)}
        return [rid for rid in RIDS if self.ssrc[rid] in ssrcs]

    def tell(self, wall_ms):
        """Sender reports of both, of this moment."""
        for rid in RIDS:
            report = rtcp.SenderReport(self.ssrc[rid], ntp(wall_ms), self.timestamp[rid] & 0xFFFFFFFF, 0, 0)
            self.host.send_rtcp(rtcp.sender_report(report, "host"))


def sealed(sender, ssrc, index, header, payload):
    """RFC 7714 section 8 by another library: our own sender writes headers without extensions."""
    counter = (ssrc << 48 | index).to_bytes(12, "big")
    nonce = bytes(a ^ b for a, b in zip(sender.rtp_salt, counter, strict=True))
    return header + AESGCM(sender.rtp_key).encrypt(nonce, payload, header)


def offer_of(host):
    lines = host.offer("opus", "VP8", direction="sendonly")
    more = ["a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", *(f"a=rid:{rid} send" for rid in RIDS)]
    return lines + "\r\n".join([*more, "a=simulcast:send " + ";".join(RIDS)]) + "\r\n"
