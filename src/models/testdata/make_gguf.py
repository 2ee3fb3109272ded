#!/usr/bin/env python3
"""Writes small GGUF files: the corpus of gguf_fuzz, and tiny files for tests by hand.

    make_gguf.py corpus DIR       every case below as one file
    make_gguf.py tiny FILE        a sound file with a llama header and a few tensors (it has no real weights)

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
import pathlib
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
SCALARS = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q",
           I64: "<q", F64: "<d"}


def text(value, length=None):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def value(kind, content):
    if kind == STRING:
        return text(content)
    if kind == ARRAY:
        inner, items = content
        return struct.pack("<IQ", inner, len(items)) + b"".join(value(inner, item) for item in items)
    return struct.pack(SCALARS[kind], content)


def pair(key, kind, content):
    return text(key) + struct.pack("<I", kind) + value(kind, content)


def tensor(name, shape, kind, offset):
    return text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape) + \
        struct.pack("<IQ", kind, offset)


def gguf(pairs, tensors, data=b"", version=3, n_tensors=None, n_pairs=None, alignment=32, magic=b"GGUF", order="<"):
    head = magic + struct.pack(order + "I", version) + \
        struct.pack("<QQ", len(tensors) if n_tensors is None else n_tensors, len(pairs) if n_pairs is None else n_pairs)
    head += b"".join(pairs) + b"".join(tensors)
    if alignment:
        head += b"\0" * (-len(head) % alignment)
    return head + data


LLAMA = [
    pair("general.architecture", STRING, "llama"),
    pair("general.name", STRING, "Tiny"),
    pair("general.license", STRING, "apache-2.0"),
    pair("general.file_type", U32, 0),
    pair("llama.context_length", U32, 128),
    pair("llama.embedding_length", U32, 64),
    pair("llama.feed_forward_length", U32, 96),
    pair("llama.block_count", U32, 2),
    pair("llama.attention.head_count", U32, 4),
    pair("llama.attention.head_count_kv", ARRAY, (U32, [2, 1])),
    pair("tokenizer.ggml.tokens", ARRAY, (STRING, ["a", "b", "c", ""])),
    pair("tokenizer.ggml.scores", ARRAY, (F32, [0.0, 1.0, 2.0, 3.0])),
    pair("tokenizer.chat_template", STRING, "{{ messages[0].content }}"),
]
TENSORS = [
    tensor("token_embd.weight", (64, 2), 0, 0),
    tensor("blk.0.attn_q.weight", (32, 2), 2, 512),
    tensor("blk.1.attn_q.weight", (32, 2), 8, 576),
    tensor("output.weight", (64,), 1, 672),
]
DATA = b"\x11" * 800


def tiny():
    return gguf(LLAMA, TENSORS, DATA)


def corpus():
    architecture = LLAMA[0]
    bert = [pair("general.architecture", STRING, "bert"), pair("bert.block_count", U32, 1),
            pair("bert.pooling_type", U32, 4), pair("bert.attention.causal", BOOL, False)]
    mamba = [pair("general.architecture", STRING, "mamba"), pair("mamba.block_count", U32, 3),
             pair("mamba.ssm.inner_size", U32, 64), pair("mamba.ssm.state_size", U32, 16),
             pair("mamba.ssm.conv_kernel", U32, 4)]
    return {
        "valid": tiny(),
        "valid_v2": gguf(LLAMA, TENSORS, DATA, version=2),
        "valid_bert": gguf(bert, TENSORS, DATA),
        "valid_mamba": gguf(mamba, TENSORS, DATA),
        "valid_no_tensors": gguf(LLAMA, []),
        "version_1": gguf(LLAMA, TENSORS, DATA, version=1),
        "version_9": gguf(LLAMA, TENSORS, DATA, version=9),
        "big_endian": gguf(LLAMA, TENSORS, DATA, order=">"),
        "wrong_magic": gguf(LLAMA, TENSORS, DATA, magic=b"GGML"),
        "empty": b"",
        "magic_only": b"GGUF",
        "count_pairs_lies": gguf(LLAMA, TENSORS, DATA, n_pairs=2**63),
        "count_pairs_one_more": gguf(LLAMA, TENSORS, DATA, n_pairs=len(LLAMA) + 1),
        "count_tensors_lies": gguf(LLAMA, TENSORS, DATA, n_tensors=2**64 - 1),
        "count_tensors_1m": gguf(LLAMA, TENSORS, DATA, n_tensors=1_000_000),
        "array_length_lies": gguf([architecture, text("x") + struct.pack("<IIQ", ARRAY, U64, 2**61 + 1)], []),
        "array_of_strings_lies": gguf([architecture, text("x") + struct.pack("<IIQ", ARRAY, STRING, 2**60)], []),
        "array_nested": gguf([architecture, text("x") + struct.pack("<IIQ", ARRAY, ARRAY, 1)], []),
        "key_length_lies": gguf([text(b"general.architecture", 2**64 - 8)], []),
        "string_length_lies": gguf([text("general.name") + struct.pack("<I", STRING) + text(b"x", 2**63)], []),
        "type_unknown": gguf([text("x") + struct.pack("<I", 99)], []),
        "alignment_0": gguf([architecture, pair("general.alignment", U32, 0)], TENSORS, DATA),
        "alignment_3": gguf([architecture, pair("general.alignment", U32, 3)], TENSORS, DATA),
        "alignment_2g": gguf([architecture, pair("general.alignment", U32, 2**31)], TENSORS[:1], DATA),
        "negative_layers": gguf([architecture, pair("llama.block_count", I32, -1)], TENSORS, DATA),
        "many_layers": gguf([architecture, pair("llama.block_count", U32, 2**32 - 1)], TENSORS, DATA),
        "huge_numbers": gguf([architecture] + [pair("llama." + key, U32, 2**32 - 1) for key in (
            "context_length", "embedding_length", "feed_forward_length", "attention.key_length",
            "ssm.inner_size", "ssm.state_size", "ssm.conv_kernel", "ssm.group_count")], TENSORS, DATA),
        "no_architecture": gguf(LLAMA[1:], TENSORS, DATA),
        "invalid_utf8": gguf([architecture, pair("general.name", STRING, b"\xff\xfe")], TENSORS, DATA),
        "dimensions_5": gguf([architecture], [tensor("t", (1, 1, 1, 1, 1), 0, 0)], DATA),
        "dimensions_overflow": gguf([architecture], [tensor("t", (2**32, 2**32, 2), 0, 0)], DATA),
        "dimensions_bytes_overflow": gguf([architecture], [tensor("t", (2**62,), 0, 0)], DATA),
        "dimensions_negative": gguf([architecture], [tensor("t", (2**64 - 1,), 0, 0)], DATA),
        "dimensions_zero": gguf([architecture], [tensor("t", (0, 2**63 - 1), 0, 0)], DATA),
        "dimensions_block": gguf([architecture], [tensor("t", (33,), 2, 0)], DATA),
        "tensor_type_unknown": gguf([architecture], [tensor("t", (32,), 4, 0)], DATA),
        "tensor_name_long": gguf([architecture], [tensor("t" * 300, (32,), 0, 0)], DATA),
        "offset_beyond": gguf([architecture], [tensor("t", (32,), 0, 2**63)], DATA),
        "offset_overlap": gguf([architecture], [tensor("t", (64,), 0, 0), tensor("u", (64,), 0, 0)], DATA),
        "offset_unaligned": gguf([architecture], [tensor("t", (64,), 0, 7)], DATA),
        "truncated_data": tiny()[:-200],
        "truncated_header": tiny()[:333],
    }


def main(argv):
    if len(argv) == 3 and argv[1] == "corpus":
        folder = pathlib.Path(argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in corpus().items():
            (folder / (name + ".gguf")).write_bytes(content)
    elif len(argv) == 3 and argv[1] == "tiny":
        pathlib.Path(argv[2]).write_bytes(tiny())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv)
