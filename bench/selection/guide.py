"""The guide to the selection layer that the report begins with, written by hand."""

GUIDE = """# Several models behind one application

Written by `python -m bench.selection --write docs/selection.md`; to change the words, edit `bench/selection/`.

An application can be linked to several models. A *selection policy* then decides which of them are asked, makes one
answer of what they say, and learns from feedback: which model is good, now, and for whom. The caller sees one endpoint,
one latency objective and one answer, as ever. This is the model selection layer of the Clipper paper (NSDI'17, section
5). This page says how to use it and what it brings; [selection-policies.md](selection-policies.md) says what each
policy computes and how to write one's own.

`examples/selection.py` is all of it in one program, on three models, in a minute.

## An application of several models

```python
clipper_conn.register_application(
    name="digits", input_type="doubles", default_output="-1", slo_micros=100_000, selection_policy="exp3"
)
for model in ("forest", "net", "svm"):
    clipper_conn.link_model_to_app("digits", model)
```

Models are deployed as ever and have the application's input type; up to 64 can be linked, at any time, without a failed
request; how a new one gets its chance is up to the policy. Versions of a model share what was learned about it: a new
version takes the place of the one before. Without `selection_policy` an application has one model, and nothing of this
page concerns it.

## Which policy

| what you have | policy |
| --- | --- |
| models to compare in fixed proportions, a canary | `static`, with weights by model name |
| feedback, models whose quality may change, one prediction's price a query | `exp3` |
| the same, but models stay as they are | `thompson` |
| feedback, and answers may cost a prediction of each model | `exp4` |
| no feedback, models that are about equally good | `majority`; `average` for numbers |
| inputs that tell which model is right for them | `linucb` |

`epsilon_greedy` and `ucb1` are there as the classics. Parameters have defaults and are set by name:
`policy_parameters={"eta": 0.2}`.

## Asking

Nothing changes: `POST /digits/predict` with `{"input": [...]}`, or `Predict` over gRPC. Keep the `query_id` of the
answer for the feedback. Two things can be added:

- `"uid": "ada"` (gRPC: `context`): on whose behalf. Each user, or session, or whatever tells queries apart, is a
  *context* that learns for itself; without one, all share one. A context costs nothing until it gets feedback, begins
  with what the policy begins with, and is forgotten `context_ttl_s` (30 days) after its last feedback.
- `"explain": true`: adds `"selection"`, with the probability of the choice, and for each model its weight, whether it
  was asked, and what it said.

## Telling how good it was

```sh
curl -d '{"query_id": 4213, "label": 7}' http://localhost:1337/digits/update
```

answers `{"feedback":"learned"}` once it is stored for all query services. Over gRPC it is `Feedback`. Either takes

- a **label**, what the output should have been. The application's `loss` compares: `zero_one` (equal or not, the
  default), `squared` or `absolute` for numbers, where `loss_scale` is the error that counts as 1;
- or a **reward** from 0 to 1, `{"query_id": 4213, "reward": 0.8}`, when you know how good it was but not what it should
  have been: a click, a rating, a sale;
- for a prediction that was made, by `query_id`; or for an **input** that nobody need have asked about,
  `{"input": [...], "label": 7, "uid": "ada"}`: all models are asked, and the policy learns about each of them;
- one, or many at once: `{"feedback": [{...}, {...}]}`.

It may be **late**, by as much as `feedback_window_s` (an hour), and reach another query service than the prediction
did, or one that was restarted since. A later one is answered with 404, in a batch with `"unknown query"`. It counts
**once**: sent again it is answered with `"already learned"`, so a client that did not hear sends it again. Feedback by
input has no id to know it by; give it a `"feedback_id"` if it might be sent twice. While Redis is away predictions go
on by what is known, and feedback fails with 503, to be sent again.

## Confidence, and what to do without it

Where several models are asked, answers have a `"confidence"`: the share of the linked models that agree. An application
with `confidence_threshold=0.8` answers with its default output, and the reason, when fewer agree than that: for a
person to look at, or for whatever is safe. The answer is made at the deadline at the latest of whatever has arrived; a
model that is slow or dead lowers the confidence and delays nothing. With `"forbid_default": true` such a request is an
error instead.

## Seeing what it does

- `clipper_conn.get_selection_state("digits", "ada")`: what was learned in a context.
- `GET :1337/metrics` and Prometheus: for each application and model the queries that it was asked
  (`clipper_arm_selections`), feedback on it and its rewards (`clipper_arm_feedbacks`, `clipper_arm_rewards`), its
  weight without a context (`clipper_arm_weight`); for the application, feedback by what became of it
  (`clipper_feedbacks`) and an estimate of what asking only the best model would have earned more
  (`clipper_selection_regret`).
- `python -m clipper_admin events digits`: the newest 500,000 predictions and 50,000 feedback, one JSON object a line.

From these events one can tell what **another policy would have earned on one's own traffic**, before it is put to work:

```python
from clipper_admin import replay

events = list(replay.logged(clipper_conn, "digits"))
print("as it was", replay.earned(events))
for model in clipper_conn.get_linked_models("digits"):
    print(model, replay.evaluate(events, replay.always(model)).self_normalised)
```

It weighs each reward by how likely either policy was to ask that model, which the events tell. It needs a policy in
force that asks every model now and then, and says how many events speak for the estimate.

## Privacy

What is kept about a context is numbers about models, its predictions' outputs (and, for `linucb`, inputs) until their
feedback window is over, and its part of the event log; inputs are not kept otherwise.
`clipper_conn.delete_selection_state("digits", "ada")` forgets all of it: the state, the predictions that await
feedback, and the events. A query service may remember a state for some seconds more, and feedback on a prediction of
these last seconds would begin the context anew. Unregistering an application forgets all of its contexts.

## What it costs

- A query: the choice takes some microseconds, and the prediction is noted for its feedback, some hundred bytes in Redis
  for the length of the window, written behind the answer's back. No query waits for Redis in a context that was used in
  the last second; the first one waits for one read, a quarter of its objective at most.
- Policies that ask all models cost as many predictions, side by side.
- Feedback: one step in Redis, shared by what arrives together.
- Throughput, against an application of one model: [benchmarks.md](benchmarks.md), "What selection costs".
- What is decided may be up to a second old where another query service learns; the one that took the feedback knows at
  once.
"""
