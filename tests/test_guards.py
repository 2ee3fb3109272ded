"""What a request may ask for, and what it may not say at all."""
import pytest

from access_clients import PROTECTED, ask, local, make_key
from harness import error_of

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
CAPS = {"max_choices": 2, "max_stops": 2, "max_tokens": 8, "max_messages": 3, "max_tools": 1, "max_images": 1,
        "max_prompts": 2, "max_logprobs": 2, "max_schema_depth": 4, "max_schema_bytes": "200B"}


@pytest.fixture(scope="module")
def guarded(models):
    from conftest import Factory
    factory = Factory(models)
    yield factory(["tiny"], PROTECTED)
    factory.close()


@pytest.fixture(scope="module")
def capped(guarded):
    """A key whose role has small caps."""
    with local(guarded) as client:
        made = client.post("/api/v1/roles", json={
            "name": "small", "rules": [{"permissions": ["generate", "models:read"]}],
            "caps": {**CAPS, "max_schema_bytes": 200}})
        assert made.status_code == 201, made.text
    return make_key(guarded, "small")["key"]


def chat(gateway, key, **more):
    return ask(gateway, key, "POST", "/v1/chat/completions", json={**CHAT, **more})


def nested(depth):
    schema = {}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize("more, pointer", [
    ({"n": 3}, "/n"),
    ({"stop": ["a", "b", "c"]}, "/stop"),
    ({"max_tokens": 9}, "/max_tokens"),
    ({"max_completion_tokens": 9}, "/max_completion_tokens"),
    ({"n_predict": -1}, "/n_predict"),
    ({"logprobs": True, "top_logprobs": 3}, "/top_logprobs"),
    ({"messages": CHAT["messages"] * 4}, "/messages"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}] * 2}, "/tools"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": nested(5)}}},
     "/response_format/json_schema/schema"),
    ({"grammar": "root ::= " + "a " * 200}, "/grammar"),
])
def test_one_past_a_cap(guarded, capped, more, pointer):
    answer = chat(guarded, capped, **more)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["pointer"] == pointer


def test_at_the_caps(guarded, capped):
    answer = chat(guarded, capped, n=2, stop=["\x01", "\x02"], max_tokens=8)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] <= 16


def test_who_says_nothing_gets_no_more(guarded, capped):
    request = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    answer = ask(guarded, capped, "POST", "/v1/chat/completions", json=request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] <= 8


def test_prompts(guarded, capped):
    request = {"model": "tiny", "max_tokens": 1}
    fine = ask(guarded, capped, "POST", "/v1/completions", json={**request, "prompt": ["a", "b"]})
    assert fine.status_code == 200, fine.text
    many = ask(guarded, capped, "POST", "/v1/completions", json={**request, "prompt": ["a", "b", "c"]})
    assert many.status_code == 400 and error_of(many)["pointer"] == "/prompt"


@pytest.mark.parametrize("more, pointer", [
    ({"base_url": "http://127.0.0.1:9"}, "/base_url"),
    ({"user_config": {"api_base": "http://127.0.0.1:9"}}, "/user_config"),
    ({"anything": {"api_base": "http://127.0.0.1:9"}}, "/anything/api_base"),
    ({"api_key": "sk-secret"}, "/api_key"),
    ({"callback_url": "http://127.0.0.1:9"}, "/callback_url"),
    ({"chat_template": "{{ 1 }}"}, "/chat_template"),
    ({"chat_template_kwargs": {"chat_template": "x"}}, "/chat_template_kwargs/chat_template"),
    ({"lora": [{"id": 0, "scale": 1}]}, "/lora"),
    ({"model_path": "/etc/passwd"}, "/model_path"),
    ({"id_slot": 0}, "/id_slot"),
    ({"n_discard": -1}, "/n_discard"),
    ({"cache_salt": "x"}, "/cache_salt"),
    ({"mm_processor_kwargs": {}}, "/mm_processor_kwargs"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]},
     "/messages/0/content/0/image_url/url"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url",
                                                 "image_url": {"url": "http://169.254.169.254/"}}]}]},
     "/messages/0/content/0/image_url/url"),
])
def test_steering(guarded, more, pointer):
    """Also for whoever may everything: it is no question of rights."""
    for key in (make_key(guarded)["key"], make_key(guarded, "admin")["key"]):
        answer = chat(guarded, key, **more)
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["pointer"] == pointer
        assert "sk-secret" not in answer.text
    assert "sk-secret" not in guarded.stderr()


def test_what_models_understand_passes(guarded):
    key = make_key(guarded)["key"]
    answer = chat(guarded, key, chat_template_kwargs={"enable_thinking": False}, cache_prompt=True, seed=1,
                  metadata={"template": "x"}, n_keep=0)
    assert answer.status_code == 200, answer.text
