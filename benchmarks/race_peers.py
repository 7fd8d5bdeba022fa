"""Medusa 2 and Vendure 3 in the races, each over its public interface alone; see race_shops.py."""

import itertools
import time
from typing import Any

from race_shops import ORDERED, Books, Buyer, Goods, Web, short, word_of

_names = itertools.count(1)


class Medusa:
    """Its Store API up to `complete`, which orders, reserves and authorizes with its built-in payment provider."""

    name = "Medusa"

    def __init__(self, web: Web, admin: dict[str, str], store: dict[str, str], made: dict[str, str]) -> None:
        self._web, self._admin, self._store, self._made = web, admin, store, made

    async def goods(self) -> Goods:
        made, variant = self._made, {"title": "one", "options": {"size": "one"}, "manage_inventory": True}
        body = {
            "title": f"Pot {time.time_ns()}",
            "status": "published",
            "shipping_profile_id": made["profile"],
            "sales_channels": [{"id": made["channel"]}],
            "options": [{"title": "size", "values": ["one"]}],
            "variants": [variant | {"prices": [{"currency_code": "eur", "amount": 49}]}],
        }
        path = "/admin/products?fields=id,variants.id,*variants.inventory_items"
        variant = (await self._web.do("POST", path, body, **self._admin))["product"]["variants"][0]
        item = variant["inventory_items"][0]["inventory_item_id"]
        level = {"location_id": made["location"], "stocked_quantity": 1}
        await self._web.do("POST", f"/admin/inventory-items/{item}/location-levels", level, **self._admin)
        return Goods(variant["id"])

    async def comes(self, goods: Goods) -> Buyer:
        do, name = self._web.do, next(_names)
        there = {"first_name": "A", "last_name": "B", "address_1": "1", "city": "B", "postal_code": "1"}
        cart = {
            "region_id": self._made["region"],
            "email": f"buyer-{name}@example.com",
            "items": [{"variant_id": goods.id, "quantity": 1}],
            "shipping_address": there | {"country_code": "de"},
        }
        cart_id = (await do("POST", "/store/carts", cart, **self._store))["cart"]["id"]
        option = {"option_id": self._made["option"]}
        await do("POST", f"/store/carts/{cart_id}/shipping-methods", option, **self._store)
        paying = await do("POST", "/store/payment-collections", {"cart_id": cart_id}, **self._store)
        collection = paying["payment_collection"]["id"]
        provider = {"provider_id": "pp_system_default"}
        await do("POST", f"/store/payment-collections/{collection}/payment-sessions", provider, **self._store)
        return Buyer(goods, id=cart_id, token=collection)

    async def buys(self, buyer: Buyer) -> str:
        answer = await self._web.http.post(f"/store/carts/{buyer.id}/complete", json={}, headers=self._store)
        if answer.status_code == 200 and answer.json()["type"] == "order":
            return ORDERED
        error = answer.json().get("error") if answer.status_code == 200 else None
        return short(200, error["type"], error["message"]) if error else word_of(answer)

    async def lingers(self, goods: Goods) -> Buyer:
        return await self.comes(goods)

    async def pays(self, buyer: Buyer) -> str:
        return await self.buys(buyer)

    async def books(self, goods: Goods) -> Books:
        fields = "id,status,items.variant_id,items.quantity,payment_collections.id"
        path = f"/admin/orders?limit=300&order=-created_at&fields={fields}"
        orders = [o for o in (await self._web.do("GET", path, **self._admin))["orders"] if o["status"] != "canceled"]
        mine = [order for order in orders if any(item["variant_id"] == goods.id for item in order["items"])]
        path = "/admin/payments?limit=300&order=-created_at&fields=id,canceled_at,payment_collection_id"
        payments = (await self._web.do("GET", path, **self._admin))["payments"]
        standing = {payment["payment_collection_id"] for payment in payments if not payment["canceled_at"]}
        charged = standing & {buyer.token for buyer in goods.buyers}
        with_order = {collection["id"] for order in mine for collection in order["payment_collections"]}
        return Books(
            ordered=sum(item["quantity"] for order in mine for item in order["items"]),
            charged=len(charged),
            charged_without_order=len(charged - with_order),
        )


async def medusa(url: str, email: str, password: str) -> Medusa:
    """A store in an empty Medusa, made over its Admin API. No Redis, one process: as `medusa start` has it."""
    web = Web(url)
    signed_in = await web.do("POST", "/auth/user/emailpass", {"email": email, "password": password})
    admin = {"Authorization": f"Bearer {signed_in['token']}"}

    async def make(path: str, body: object, what: str) -> Any:
        return (await web.do("POST", f"/admin/{path}", body, **admin))[what]

    regions = (await web.do("GET", "/admin/regions?fields=id,name", **admin))["regions"]
    region = regions[0] if regions else None
    if region is None:
        euros = {"name": "races", "currency_code": "eur", "countries": ["de"]}
        region = await make("regions", euros | {"payment_providers": ["pp_system_default"]}, "region")
    name = f"races {time.time_ns()}"
    channel = (await make("sales-channels", {"name": name}, "sales_channel"))["id"]
    key = await make("api-keys", {"title": name, "type": "publishable"}, "api_key")
    await make(f"api-keys/{key['id']}/sales-channels", {"add": [channel]}, "api_key")
    address = {"address_1": "Dock 1", "country_code": "de"}
    location = (await make("stock-locations", {"name": name, "address": address}, "stock_location"))["id"]
    at = f"stock-locations/{location}"
    await make(f"{at}/sales-channels", {"add": [channel]}, "stock_location")
    await make(f"{at}/fulfillment-providers", {"add": ["manual_manual"]}, "stock_location")
    sets = f"{at}/fulfillment-sets?fields=*fulfillment_sets"
    way = (await make(sets, {"name": name, "type": "shipping"}, "stock_location"))["fulfillment_sets"][0]["id"]
    country = [{"type": "country", "country_code": "de"}]
    zones = await make(f"fulfillment-sets/{way}/service-zones", {"name": name, "geo_zones": country}, "fulfillment_set")
    profile = (await make("shipping-profiles", {"name": name, "type": name}, "shipping_profile"))["id"]
    option = {
        "name": name,
        "service_zone_id": zones["service_zones"][0]["id"],
        "shipping_profile_id": profile,
        "provider_id": "manual_manual",
        "price_type": "flat",
        "type": {"label": name, "description": name, "code": name},
        "prices": [{"currency_code": "eur", "amount": 0}],
        "rules": [],
    }
    made = {"region": region["id"], "channel": channel, "location": location, "profile": profile}
    made["option"] = (await make("shipping-options", option, "shipping_option"))["id"]
    return Medusa(web, admin, {"x-publishable-api-key": key["token"]}, made)


PAY = """mutation($method: String!) { addPaymentToOrder(input: {method: $method, metadata: {}}) {
    __typename ... on Order { state } ... on ErrorResult { errorCode } } }"""
ORDERS = """query { orders(options: {take: 100, sort: {createdAt: DESC}}) { items {
    state lines { quantity productVariant { id } } payments { state } } } }"""
PLACED = {"PaymentAuthorized", "PaymentSettled", "PartiallyShipped", "Shipped", "PartiallyDelivered", "Delivered"}
PRODUCT = """mutation($input: CreateProductInput!) { createProduct(input: $input) { id } }"""
VARIANT = """mutation($input: [CreateProductVariantInput!]!) { createProductVariants(input: $input) { id } }"""
TO_PAYMENT = (
    'setCustomerForOrder(input: {firstName: "A", lastName: "B", emailAddress: "EMAIL"})',
    'setOrderShippingAddress(input: {streetLine1: "1", city: "B", postalCode: "1", countryCode: "DE"})',
    'setOrderShippingMethod(shippingMethodId: ["SHIPPING"])',
    'transitionOrderToState(state: "ArrangingPayment")',
)


class Vendure:
    """Its Shop API up to `addPaymentToOrder`, with its built-in dummy payment, settled at once."""

    name = "Vendure"

    def __init__(self, web: Web, admin: str, made: dict[str, str]) -> None:
        self._web, self._admin, self._made = web, admin, made

    async def goods(self) -> Goods:
        name = f"pot-{time.time_ns()}"
        words = [{"languageCode": "en", "name": name, "slug": name, "description": ""}]
        product = await self._run(PRODUCT, {"input": {"translations": words, "enabled": True}})
        variant = {
            "productId": product["createProduct"]["id"],
            "sku": name,
            "price": 4900,
            "taxCategoryId": self._made["category"],
            "stockOnHand": 1,
            "trackInventory": "TRUE",
            "translations": [{"languageCode": "en", "name": name}],
        }
        return Goods((await self._run(VARIANT, {"input": [variant]}))["createProductVariants"][0]["id"])

    async def comes(self, goods: Goods) -> Buyer:
        add = f'mutation {{ addItemToOrder(productVariantId: "{goods.id}", quantity: 1) {{ __typename }} }}'
        answer = await self._web.http.post("/shop-api", json={"query": add})
        buyer = Buyer(goods, token=answer.headers["vendure-auth-token"])
        email = f"buyer-{next(_names)}@example.com"
        for step in TO_PAYMENT:
            filled = step.replace("EMAIL", email).replace("SHIPPING", self._made["shipping"])
            query = f"mutation {{ it: {filled} {{ __typename }} }}"
            said = (await self._shop(buyer, query))["it"]["__typename"]
            if said not in {"Order", "ActiveOrder"}:
                raise RuntimeError(f"{step}: {said}")
        return buyer

    async def buys(self, buyer: Buyer) -> str:
        said = (await self._shop(buyer, PAY, {"method": "races"}))["addPaymentToOrder"]
        if said["__typename"] == "Order":
            return ORDERED if said["state"] in PLACED else str(said["state"])
        return str(said["errorCode"])

    async def lingers(self, goods: Goods) -> Buyer:
        return await self.comes(goods)

    async def pays(self, buyer: Buyer) -> str:
        return await self.buys(buyer)

    async def books(self, goods: Goods) -> Books:
        orders = (await self._run(ORDERS))["orders"]["items"]
        mine = [o for o in orders if any(line["productVariant"]["id"] == goods.id for line in o["lines"])]
        charged = [o for o in mine if any(p["state"] in {"Authorized", "Settled"} for p in o["payments"] or [])]
        return Books(
            ordered=sum(line["quantity"] for o in mine if o["state"] in PLACED for line in o["lines"]),
            charged=len(charged),
            charged_without_order=sum(o["state"] not in PLACED for o in charged),
        )

    async def _run(self, query: str, variables: object = None) -> Any:
        return await _graphql(self._web, "/admin-api", self._admin, query, variables)

    async def _shop(self, buyer: Buyer, query: str, variables: object = None) -> Any:
        return await _graphql(self._web, "/shop-api", buyer.token, query, variables)


async def _graphql(web: Web, path: str, token: str, query: str, variables: object = None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = await web.do("POST", path, {"query": query, "variables": variables or {}}, **headers)
    if answer.get("errors"):
        raise RuntimeError(f"{answer['errors'][0]['message']} in {query[:80]}")
    return answer["data"]


async def vendure(url: str, name: str, password: str) -> Vendure:
    """A store in an empty Vendure, made over its Admin API."""
    web = Web(url)
    login = "mutation($n: String!, $p: String!) { login(username: $n, password: $p) { __typename } }"
    answer = await web.http.post("/admin-api", json={"query": login, "variables": {"n": name, "p": password}})
    admin = answer.headers["vendure-auth-token"]

    async def make(field_: str, kind: str, body: object) -> str:
        query = f"mutation($input: {kind}!) {{ it: {field_}(input: $input) {{ ... on Node {{ id }} }} }}"
        made: str = (await _graphql(web, "/admin-api", admin, query, {"input": body}))["it"]["id"]
        return made

    existing = "query { taxCategories { items { id name } } shippingMethods { items { id } } }"
    found = await _graphql(web, "/admin-api", admin, existing)
    if found["shippingMethods"]["items"]:
        made = {name: found[of]["items"][0]["id"] for name, of in (("category", "taxCategories"),)}
        return Vendure(web, admin, made | {"shipping": found["shippingMethods"]["items"][0]["id"]})
    words = [{"languageCode": "en", "name": "races", "description": ""}]
    germany = {"code": "DE", "enabled": True, "translations": [{"languageCode": "en", "name": "races"}]}
    country = await make("createCountry", "CreateCountryInput", germany)
    zone = await make("createZone", "CreateZoneInput", {"name": "races", "memberIds": [country]})
    category = await make("createTaxCategory", "CreateTaxCategoryInput", {"name": "races", "isDefault": True})
    rate = {"name": "races", "enabled": True, "value": 19, "categoryId": category, "zoneId": zone}
    await make("createTaxRate", "CreateTaxRateInput", rate)
    channel = (await _graphql(web, "/admin-api", admin, "query { activeChannel { id } }"))["activeChannel"]["id"]
    zones = {"id": channel, "defaultTaxZoneId": zone, "defaultShippingZoneId": zone}
    await make("updateChannel", "UpdateChannelInput", zones)
    costs = [{"name": n, "value": v} for n, v in (("rate", "0"), ("includesTax", "auto"), ("taxRate", "0"))]
    shipping = {
        "code": "races",
        "fulfillmentHandler": "manual-fulfillment",
        "checker": {
            "code": "default-shipping-eligibility-checker",
            "arguments": [{"name": "orderMinimum", "value": "0"}],
        },
        "calculator": {"code": "default-shipping-calculator", "arguments": costs},
        "translations": words,
    }
    method = await make("createShippingMethod", "CreateShippingMethodInput", shipping)
    settled = {"code": "dummy-payment-handler", "arguments": [{"name": "automaticSettle", "value": "true"}]}
    pay = {"code": "races", "enabled": True, "handler": settled, "translations": words}
    await make("createPaymentMethod", "CreatePaymentMethodInput", pay)
    return Vendure(web, admin, {"category": category, "shipping": method})
