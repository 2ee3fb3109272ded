"""A stand-in for servers of the OpenAI API, with what each kind of them says otherwise: `OpenAiLike("tgi")`. It wants the
key KEY, refuses fields that its kind refuses, and answers "Hi" with a call of the first tool where there is one."""
import json

from standin_http import Reply, StandIn, sse

KEY = "sk-standin-key"
# Fields of others that a service answers with a 400.
REFUSED = {"openai": {"max_tokens", "top_k", "min_p", "repeat_penalty"},
           "gemini": {"seed", "top_k", "min_p", "repeat_penalty", "logit_bias"}}
REASONING = {"vllm": "reasoning", "openrouter": "reasoning", "lmstudio": "reasoning", "sglang": "reasoning_content",
             "llama-server": "reasoning_content"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


class OpenAiLike(StandIn):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def reply(self, request):
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Reply({"error": {"message": "Incorrect API key provided: " + str(KEY), "code": "invalid_api_key"}}, 401)
        if request.method == "GET":
            return Reply({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": self.kind}]})
        refused = REFUSED.get(self.kind, set()) & set(request.body)
        if refused:
            return Reply({"error": {"message": f"Unknown name {sorted(refused)[0]}", "code": 400}}, 400)
        if request.path.endswith("/embeddings"):
            return Reply({"object": "list", "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1},
                          "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]})
        return self.stream(request.body) if request.body.get("stream") else self.whole(request.body)

    def call_of(self, body):
        """As this kind writes a call: TGI's arguments are an object."""
        arguments = {"city": "Oslo"}
        return {"id": "call_1", "type": "function", "function": {
            "name": body["tools"][0]["function"]["name"],
            "arguments": arguments if self.kind == "tgi" else json.dumps(arguments)}}

    def end(self, called):
        if called:
            return "tool_calls"
        return "eos_token" if self.kind == "tgi" else "stop"

    def whole(self, body):
        message = {"role": "assistant", "content": "Hi"}
        if self.kind in REASONING:
            message[REASONING[self.kind]] = "hm"
        called = bool(body.get("tools"))
        if called:
            message["tool_calls"] = [self.call_of(body)]
        return Reply({"id": "c1", "object": "chat.completion", "created": 1, "model": body["model"], "usage": USAGE,
                      "choices": [{"index": 0, "message": message, "finish_reason": self.end(called)}]})

    def stream(self, body):
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        deltas = [{"role": "assistant", "content": ""}]
        if self.kind in REASONING:
            deltas.append({REASONING[self.kind]: "hm"})
        deltas += [{"content": "H"}, {"content": "i"}]
        called = bool(body.get("tools"))
        if called:
            call = self.call_of(body)
            if self.kind == "tgi":
                deltas.append({"tool_calls": {"index": 0, **call}})  # one alone, no list
            else:
                deltas.append({"tool_calls": [call if self.kind == "gemini" else {"index": 0, **call}]})
        events = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": self.end(called)}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**head, "choices": [], "usage": USAGE})
        return Reply(kind="text/event-stream", pieces=sse([("", event) for event in events] + [("", "[DONE]")]))
