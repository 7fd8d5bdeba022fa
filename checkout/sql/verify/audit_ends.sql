-- Where the audit log ends. Out: seq, hash. Caller: verify.verify.
SELECT seq, hash FROM audit_head
