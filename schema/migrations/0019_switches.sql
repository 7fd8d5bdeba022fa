-- migrate:up

-- The operator's switches for chat and video, beside that for sales; and the order in which the host shows things.
ALTER TABLE shows
    ADD COLUMN chat_open boolean NOT NULL DEFAULT true,
    ADD COLUMN video_open boolean NOT NULL DEFAULT true,
    ADD COLUMN video_reason text NOT NULL DEFAULT '',
    ADD COLUMN run text[] NOT NULL DEFAULT '{}';

-- Each process asks twice a second which videos are cut; there is hardly ever one.
CREATE INDEX shows_cut ON shows (show_id) INCLUDE (video_reason) WHERE NOT video_open;
