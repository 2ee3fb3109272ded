"""A stand-in for Anthropic's Messages API: answers, streams and errors in its documented form. What it says depends on
the last text of the user: "think", "tool", "overloaded", "limited", "die" (an error in the stream), else "Hello!"."""
import json

from standin_http import Reply, StandIn, sse

KEY = "sk-ant-test"
VERSIONS = ("2023-06-01", "2026-10-21")  # the gateway's, and that of Anthropic's own client
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"


def error(kind, message, status, headers=None):
    return Reply({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}, status,
                 headers=headers)


def last_text(messages):
    for block in reversed(messages[-1]["content"]):
        if block["type"] == "text":
            return block["text"]
    return ""


class Anthropic(StandIn):
    def reply(self, request):
        if KEY not in (request.headers.get("x-api-key"),
                       request.headers.get("authorization", "").removeprefix("Bearer ")):
            return error("authentication_error", "invalid x-api-key", 401)
        if request.headers.get("anthropic-version") not in VERSIONS:
            return error("invalid_request_error", "anthropic-version: header is required", 400)
        if request.path == "/v1/models":
            return Reply({"data": [{"type": "model", "id": "claude-test", "display_name": "Test",
                                    "created_at": "2026-01-01T00:00:00Z"}], "has_more": False,
                          "first_id": "claude-test", "last_id": "claude-test"})
        if request.path != "/v1/messages":
            return error("not_found_error", "Not Found", 404)
        return self.messages(request.body)

    def messages(self, body):
        unknown = set(body) - {"model", "max_tokens", "messages", "system", "temperature", "top_p", "top_k", "stop_sequences",
                               "stream", "tools", "tool_choice", "thinking", "metadata", "output_config"}
        if unknown:
            return error("invalid_request_error", f"{sorted(unknown)[0]}: Extra inputs are not permitted", 400)
        if "max_tokens" not in body:
            return error("invalid_request_error", "max_tokens: Field required", 400)
        if not 0 <= body.get("temperature", 1) <= 1:
            return error("invalid_request_error", "temperature: range: 0..1", 400)
        said = last_text(body["messages"])
        if said == "overloaded":
            return error("overloaded_error", "Overloaded", 529)
        if said == "limited":
            return error("rate_limit_error", "This request would exceed your rate limit", 429, {"retry-after": "7"})
        blocks = [{"type": "text", "text": "Hello!"}]
        if said == "think":
            blocks.insert(0, {"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE})
        reason = "end_turn"
        if said == "tool":
            blocks = [{"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": {"city": "Oslo"}}]
            reason = "tool_use"
        usage = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 6}
        message = {"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "model": body["model"],
                   "stop_sequence": None}
        if not body.get("stream"):
            return Reply({**message, "content": blocks, "stop_reason": reason, "usage": usage})
        return Reply(kind="text/event-stream",
                     pieces=sse(self.events({**message, "content": [], "stop_reason": None}, blocks, reason, usage,
                                            said == "die")))

    @staticmethod
    def events(message, blocks, reason, usage, dies):
        def event(kind, **fields):
            return kind, {"type": kind, **fields}

        yield event("message_start", message={**message, "usage": {**usage, "output_tokens": 1}})
        yield event("ping")
        if dies:
            yield event("error", error={"type": "overloaded_error", "message": "Overloaded"})
            return
        for index, block in enumerate(blocks):
            kind = block["type"]
            if kind == "text":
                empty, deltas = {"text": ""}, [{"type": "text_delta", "text": part} for part in ("Hel", "lo!")]
            elif kind == "thinking":
                empty = {"thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": "Let me see."},
                          {"type": "signature_delta", "signature": SIGNATURE}]
            else:
                empty = {"id": block["id"], "name": block["name"], "input": {}}
                text = json.dumps(block["input"])
                deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", text[:5], text[5:])]
            yield event("content_block_start", index=index, content_block={"type": kind, **empty})
            for delta in deltas:
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        yield event("message_delta", delta={"stop_reason": reason, "stop_sequence": None},
                    usage={"output_tokens": usage["output_tokens"]})
        yield event("message_stop")
