"""What is said with clients: the RPCs, how requests are read, and how answers are made.

servicer.py          the query service's RPCs
callers.py           who asks for predictions natively, and how each is answered
rest_callers.py      who does over REST
predictor.py         a prediction's way into the engine
prepared.py          answers made once for all, for when there is no time
request_limits.py    how large a request may be
protobuf.py          the contracts' messages
json_documents.py    what all JSON bodies share: how they are read, and what is said of bad ones
json_inputs.py       inputs in JSON, packed
base64_text.py       bytes written as text
raw_inputs.py        inputs whose body is no JSON, packed
npy.py               numpy's file format
media_types.py       what bodies may be, and answers
input_checks.py      inputs against their application's schema
json_predictions.py  what is asked in JSON, and the answers, byte for byte as documented
json_feedback.py     what is told in JSON of predictions, and what became of that
asked.py             what is asked for, the same in both
timing.py            where a prediction's time went, the same in both
choice.py            how its models were chosen, the same in both
health.py            grpc.health.v1
reflection.py        the service's description of itself
"""
