-- migrate:up

-- A buyer asks for their own orders of a show; without this each such look would read all of the show's. Their open holds
-- are found product by product in holds_off_shelf: another index on holds would cost every tap.
CREATE INDEX orders_of_buyer ON orders (buyer_id, show_id, order_id DESC);
