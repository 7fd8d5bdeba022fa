-- migrate:up

-- A clock that ran ahead and was set back must not make anybody wait for it to get there again: whatever is due later
-- than it can have been put off is due now.

DO $$
DECLARE
    body text;
    change record;
BEGIN
    FOR change IN SELECT * FROM (VALUES
        ('claim_outbox', 'due_at_ms <= clock_ms()', '(due_at_ms <= clock_ms() OR due_at_ms > clock_ms() + 60000)'),
        ('claim_undecided', 'q.check_at_ms <= clock_ms()',
            '(q.check_at_ms <= clock_ms() OR q.check_at_ms > clock_ms() + 60000)'),
        ('claim_key', 'saved.lease_until_ms > now_ms',
            'saved.lease_until_ms BETWEEN now_ms + 1 AND now_ms + p_lease_ms')
    ) AS changes (function, before, after)
    LOOP
        body := pg_get_functiondef(change.function::regproc);
        ASSERT position(change.before IN body) > 0, change.function;
        EXECUTE replace(body, change.before, change.after);
    END LOOP;
END $$;
