#!/usr/bin/env python3
"""Writes a tiny model with random weights, so that tests run the real engine without a download.

    tests/tiny_gguf.py FILE.gguf [--tools] [--embedding] [--context N] [--seed N] [--dimensions N] [--layers N]

The architecture is llama's, with a vocabulary of the 256 bytes and a few control tokens, about half a megabyte in all.
What it says is noise of printable characters, but it is real: it loads, streams, counts tokens, and obeys a grammar.
The same arguments give the same bytes. Python's standard library only.

From Python: `write(path, tools=True)`.
"""
import argparse
import math
import random
import struct

# Value types of GGUF metadata (the format's specification, docs/gguf.md in ggml).
UINT32, FLOAT32, BOOL, STRING, ARRAY, INT32 = 4, 6, 7, 8, 9, 5
F32 = 0  # tensor type
ALIGNMENT = 32

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # token types
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
UNK, BOS, EOS, IM_START, IM_END = range(5)
TOOL_CALL = "<tool_call>"

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# In the manner of Hermes: the tools as JSON in the system turn, calls and results as tagged JSON.
CHATML_TOOLS = (
    "{%- if tools %}"
    "{{- '<|im_start|>system\\nYou may call these functions:\\n<tools>' }}"
    "{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}"
    "{{- '\\n</tools>\\nA call is <tool_call>{\"name\": name, \"arguments\": object}</tool_call>.<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'tool' %}"
    "{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}"
    "{%- elif message.tool_calls %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if message.content %}{{- message.content }}{%- endif %}"
    "{%- for call in message.tool_calls %}"
    "{{- '<tool_call>\\n{\"name\": \"' + call.function.name + '\", \"arguments\": ' }}"
    "{{- call.function.arguments | tojson }}"
    "{{- '}\\n</tool_call>' }}"
    "{%- endfor %}"
    "{{- '<|im_end|>\\n' }}"
    "{%- else %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


_SCALARS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}


def _value(kind, value):
    if kind == STRING:
        return _string(value)
    if kind == ARRAY:
        element, items = value
        return struct.pack("<IQ", element, len(items)) + b"".join(_value(element, item) for item in items)
    return struct.pack(_SCALARS[kind], value)


def _vocabulary(tools):
    tokens = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [UNKNOWN] + [CONTROL] * 4 + [BYTE] * 256
    # SPM wants a token for the escaped space, which is what llama.cpp turns every space into.
    tokens.append("\u2581")
    types.append(NORMAL)
    if tools:
        tokens.append(TOOL_CALL)
        types.append(CONTROL)
    return tokens, types


def write(path, *, tools=False, embedding=False, context=2048, seed=1, dimensions=64, layers=2, name="tiny"):
    """Writes the model to `path`. `context` is its trained context length, in tokens."""
    heads, kv_heads, feed_forward = 4, 2, 2 * dimensions
    tokens, types = _vocabulary(tools)
    metadata = [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, name),
        ("general.file_type", UINT32, 0),
        ("llama.vocab_size", UINT32, len(tokens)),
        ("llama.context_length", UINT32, context),
        ("llama.embedding_length", UINT32, dimensions),
        ("llama.block_count", UINT32, layers),
        ("llama.feed_forward_length", UINT32, feed_forward),
        ("llama.attention.head_count", UINT32, heads),
        ("llama.attention.head_count_kv", UINT32, kv_heads),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        ("llama.rope.dimension_count", UINT32, dimensions // heads),
        ("llama.rope.freq_base", FLOAT32, 10000.0),
        ("tokenizer.ggml.model", STRING, "llama"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        ("tokenizer.ggml.scores", ARRAY, (FLOAT32, [0.0] * len(tokens))),
        ("tokenizer.ggml.token_type", ARRAY, (INT32, types)),
        ("tokenizer.ggml.unknown_token_id", UINT32, UNK),
        ("tokenizer.ggml.bos_token_id", UINT32, BOS),
        ("tokenizer.ggml.eos_token_id", UINT32, IM_END),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
        ("tokenizer.ggml.add_eos_token", BOOL, False),
        ("tokenizer.ggml.add_space_prefix", BOOL, False),
    ]
    if embedding:
        metadata.append(("llama.pooling_type", UINT32, 1))  # mean
    else:
        metadata.append(("tokenizer.chat_template", STRING, CHATML_TOOLS if tools else CHATML))

    rng = random.Random(seed)

    def noise(rows, columns):
        spread = 1 / math.sqrt(columns)
        return [rng.gauss(0, spread) for _ in range(rows * columns)]

    def rows_of(vocabulary_noise):
        return [vocabulary_noise[i * dimensions:(i + 1) * dimensions] for i in range(len(tokens))]

    # The first dimensions of the residual stream are reserved: no layer writes there, so that what an embedding puts
    # into them arrives at the output matrix. Dimension 0 is a constant and makes a bias per token: printable characters
    # are likely, control tokens and halves of UTF-8 sequences never come by themselves, so an answer ends at max_tokens
    # and is always valid UTF-8. With tools, dimension 1 means "a newline comes next" and 2 "the end comes next": a
    # call begins by chance now and then, and ends.
    reserved = 3
    embeddings = rows_of([value * 2 for value in noise(len(tokens), dimensions)])
    output = rows_of([value * 1.5 for value in noise(len(tokens), dimensions)])
    first_byte = len(SPECIAL)
    for token, (into, out) in enumerate(zip(embeddings, output)):
        byte = token - first_byte
        likely = 0x61 <= byte <= 0x7A or byte == 0x20
        possible = 0x20 <= byte <= 0x7E
        if not embedding:
            into[:reserved] = [3.0, 0.0, 0.0]
        out[:reserved] = [3.0 if likely else 2.0 if possible else -12.0, 0.0, 0.0]
    if tools:
        call = tokens.index(TOOL_CALL)
        output[call] = [4.0] + [0.0] * (dimensions - 1)  # as likely at every position: about one in ten
        embeddings[call][1] = 6.0
        output[first_byte + ord("\n")][1] = 30.0
        embeddings[first_byte + ord(">")][2] = 6.0
        output[IM_END][2] = 30.0

    def keep_reserved(matrix, columns):
        matrix[:reserved * columns] = [0.0] * (reserved * columns)
        return matrix

    kv = dimensions * kv_heads // heads
    tensors = [("token_embd.weight", (dimensions, len(tokens)), [v for row in embeddings for v in row])]
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors += [
            (block + "attn_norm.weight", (dimensions,), [1.0] * dimensions),
            (block + "attn_q.weight", (dimensions, dimensions), noise(dimensions, dimensions)),
            (block + "attn_k.weight", (dimensions, kv), noise(kv, dimensions)),
            (block + "attn_v.weight", (dimensions, kv), noise(kv, dimensions)),
            (block + "attn_output.weight", (dimensions, dimensions),
             keep_reserved(noise(dimensions, dimensions), dimensions)),
            (block + "ffn_norm.weight", (dimensions,), [1.0] * dimensions),
            (block + "ffn_gate.weight", (dimensions, feed_forward), noise(feed_forward, dimensions)),
            (block + "ffn_up.weight", (dimensions, feed_forward), noise(feed_forward, dimensions)),
            (block + "ffn_down.weight", (feed_forward, dimensions),
             keep_reserved(noise(dimensions, feed_forward), feed_forward)),
        ]
    tensors += [
        ("output_norm.weight", (dimensions,), [1.0] * dimensions),
        ("output.weight", (dimensions, len(tokens)), [v for row in output for v in row]),
    ]

    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    for key, kind, value in metadata:
        header += _string(key) + struct.pack("<I", kind) + _value(kind, value)
    data = b""
    for tensor_name, shape, values in tensors:
        header += _string(tensor_name) + struct.pack("<I", len(shape))
        header += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", F32, len(data))
        data += struct.pack(f"<{len(values)}f", *values)
        data += b"\0" * (-len(data) % ALIGNMENT)
    header += b"\0" * (-len(header) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(header + data)


def main():
    parser = argparse.ArgumentParser(description="writes a tiny random GGUF model")
    parser.add_argument("file")
    parser.add_argument("--tools", action="store_true", help="a chat template that renders tools")
    parser.add_argument("--embedding", action="store_true", help="an embedding model (mean pooling)")
    parser.add_argument("--context", type=int, default=2048, help="trained context length in tokens")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    arguments = vars(parser.parse_args())
    write(arguments.pop("file"), **arguments)


if __name__ == "__main__":
    main()
