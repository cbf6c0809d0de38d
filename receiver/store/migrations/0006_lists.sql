-- Lists by state, and by destination, in the order of ids: without a state they merge the four. Measured over the life
-- of a delivery (recorded, leased, attempted, delivered; three destinations), both together cost at most 2 us of 30.
DROP INDEX deliveries_by_tenant;
CREATE INDEX deliveries_by_state ON deliveries (tenant, state, id);
CREATE INDEX deliveries_by_destination ON deliveries (destination_id, state, id);

-- What the last failure was, in words, for whoever asks why a queue is held.
ALTER TABLE breakers ADD COLUMN reason TEXT;
