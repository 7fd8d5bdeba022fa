-- migrate:up

CREATE TABLE shows (
    show_id       text PRIMARY KEY,
    title         text NOT NULL,
    description   text NOT NULL DEFAULT '',
    state         text NOT NULL DEFAULT 'scheduled' CHECK (state IN ('scheduled', 'live', 'paused', 'ended')),
    starts_at_ms  bigint NOT NULL,
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    slow_mode_ms  int NOT NULL DEFAULT 0 CHECK (slow_mode_ms >= 0),
    sales_open    boolean NOT NULL DEFAULT true,
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE products (
    product_id    text PRIMARY KEY,
    title         text NOT NULL,
    description   text NOT NULL DEFAULT '',
    image         text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE variants (
    variant_id    text PRIMARY KEY,
    product_id    text NOT NULL REFERENCES products,
    option        text NOT NULL DEFAULT '',
    sku           text NOT NULL DEFAULT '',
    price_amount  bigint NOT NULL CHECK (price_amount >= 0),
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    position      int NOT NULL DEFAULT 0
);
CREATE INDEX variants_of_product ON variants (product_id, position);

-- What is on sale in a show. Price and limit are read here; how many there are is the stock table's.
CREATE TABLE show_items (
    show_id         text NOT NULL REFERENCES shows,
    variant_id      text NOT NULL REFERENCES variants,
    position        int NOT NULL,
    price_amount    bigint NOT NULL CHECK (price_amount >= 0),
    currency        text NOT NULL,
    limit_per_buyer int NOT NULL CHECK (limit_per_buyer >= 1),
    PRIMARY KEY (show_id, variant_id)
);

CREATE TABLE pins (
    show_id       text NOT NULL,
    variant_id    text NOT NULL,
    pinned_at_ms  bigint NOT NULL,
    PRIMARY KEY (show_id, variant_id),
    FOREIGN KEY (show_id, variant_id) REFERENCES show_items
);
