"""The agent in the car: it has the last word on what runs there, and it keeps serving when nobody else answers.

It dials out for everything: to NATS for intent, to the model store for bytes, to routers to offer itself; nothing in
the car listens beyond loopback. The owner's contract is checked here, at once and without the network, whatever the
plan says.

It refuses to know who or where the owner is (no VIN, name, position or payload in messages, files or logs), to run
anything but ONNX graphs, to load bytes whose digest it did not check, and to control the car. It imports only `units`
and `errors`.
"""
