-- Who has a number: events and opt-outs may name somebody by it who is known by an e-mail address.
CREATE INDEX contacts_by_phone ON contacts (phone) WHERE phone IS NOT NULL;
