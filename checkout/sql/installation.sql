-- Whose payments ours are, at a provider that several installations share. Out: id. Caller: PaymentBook.installation.
SELECT id FROM installation
