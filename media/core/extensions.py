"""The RTP header extensions that the relay understands, by their names in SDP.

Reads no clock and does no I/O. `rtp.extension` finds one in a header, by the number that SDP gave it.
"""

from typing import Final

MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID: Final = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABS_CAPTURE_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
PLAYOUT_DELAY: Final = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

FROM_PUBLISHER: Final = (MID, RID, REPAIRED_RID, ABS_CAPTURE_TIME)
"""Those a publisher may send us."""
