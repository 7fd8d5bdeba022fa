"""aiortc publishes and plays, with all of its own ICE, SDP, RTP and codecs."""

import asyncio
import itertools
from fractions import Fraction

import av
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack


class Picture(VideoStreamTrack):
    """Small and grey, so that encoding it costs little."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame(160, 90, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([pts // 3000 % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, Fraction(time_base)
        return frame


@pytest.fixture
async def connections():
    made = [RTCPeerConnection(), RTCPeerConnection()]
    yield made
    for connection in made:
        await connection.close()


async def exchange(floor, connection, path, token):
    await connection.setLocalDescription(await connection.createOffer())
    answer = await floor.post(path, connection.localDescription.sdp, token)
    assert answer.status_code == 201, answer.text
    await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))


async def test_aiortc_publishes_and_plays(floor, connections, wait_until):
    host, viewer = connections
    host.addTrack(Picture())
    host.addTrack(AudioStreamTrack())
    await exchange(floor, host, "/whip/demo", "host-ann")
    await wait_until(lambda: floor.show("demo").host_present, "the host is on air")

    viewer.addTransceiver("audio", direction="recvonly")
    viewer.addTransceiver("video", direction="recvonly")
    await exchange(floor, viewer, "/whep/demo", "viewer-bob")
    sound, picture = (transceiver.receiver.track for transceiver in viewer.getTransceivers())

    frames = [await picture.recv() for _ in range(20)]
    assert {(frame.width, frame.height) for frame in frames} == {(160, 90)}
    assert [b.pts > a.pts for a, b in itertools.pairwise(frames)] == [True] * 19
    assert (await sound.recv()).sample_rate == 48_000


async def test_a_viewer_hears_the_farewell(floor, connections, wait_until):
    host, viewer = connections
    host.addTrack(Picture())
    await exchange(floor, host, "/whip/demo", "host-ann")
    viewer.addTransceiver("video", direction="recvonly")
    await exchange(floor, viewer, "/whep/demo", "viewer-bob")
    track = viewer.getTransceivers()[0].receiver.track
    await track.recv()
    for session in list(floor.relay._sessions.values()):
        if not session.is_publisher:
            floor.relay.end(session)
    async with asyncio.timeout(10):  # without the farewell aiortc notices after 30 s
        with pytest.raises(MediaStreamError):
            await drain(track)


async def drain(track):
    while True:
        await track.recv()
