from live.demo.sound import RATE, SAMPLES, Sound


def test_frames_are_20_ms_and_a_note_starts_each_second():
    sound = Sound()
    frame = sound.frame(0)
    assert (frame.samples, frame.sample_rate, frame.layout.name) == (RATE // 50, RATE, "stereo")
    assert bytes(frame.planes[0]) != bytes(sound.frame(50).planes[0])  # another note
    assert bytes(frame.planes[0]) == bytes(sound.frame(400).planes[0])  # eight notes later
    assert any(bytes(frame.planes[0])[: SAMPLES * 4])
