-- Takes the lead among the desks of this database, if nobody has it; the session keeps it until it ends.
-- Out: true if this session leads now. Caller: Lead.is_mine.
SELECT pg_try_advisory_lock(hashtextextended('desk:lead', 0))
