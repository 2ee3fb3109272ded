#include "models/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "models/test_support.h"

namespace llm::models {
namespace {

using testing::GgufBuilder;
using ::testing::HasSubstr;

Result<GgufFacts> parse(const std::string& bytes) {
  return parse_gguf(std::as_bytes(std::span(bytes)), bytes.size());
}

std::filesystem::path corpus(const std::string& name) {
  return std::filesystem::path(LLM_TESTDATA) / "gguf_fuzz" / (name + ".gguf");
}

TEST(Gguf, ReadsFacts) {
  for (const std::string name : {"valid", "valid_v2"}) {
    const auto facts = read_gguf(corpus(name));
    ASSERT_TRUE(facts) << facts.error().message;
    EXPECT_EQ(facts->architecture, "llama");
    EXPECT_EQ(facts->name, "Tiny");
    EXPECT_EQ(facts->license, "apache-2.0");
    EXPECT_EQ(facts->quantisation, "F32");
    EXPECT_EQ(facts->dominant_type, "F32");
    EXPECT_EQ(facts->chat_template, "{{ messages[0].content }}");
    EXPECT_EQ(facts->parameters, 128u + 64 + 64 + 64);
    EXPECT_EQ(facts->context_length, 128u);
    EXPECT_EQ(facts->embedding_length, 64u);
    EXPECT_EQ(facts->feed_forward_length, 96u);
    EXPECT_EQ(facts->head_count, 4u);
    EXPECT_EQ(facts->head_count_kv, 2u);
    EXPECT_EQ(facts->head_count_kv_sum, 3u);
    EXPECT_EQ(facts->key_length, 16u);
    EXPECT_EQ(facts->vocab_size, 4u);
    EXPECT_EQ(facts->tensor_count, 4u);
    EXPECT_EQ(facts->tensor_bytes, 512u + 36 + 68 + 128);
    EXPECT_EQ(facts->block_bytes, (std::vector<std::uint64_t>{36, 68}));
    EXPECT_EQ(facts->embedding_bytes, 512u);
    EXPECT_EQ(facts->output_bytes, 128u);
    EXPECT_EQ(facts->mode, ModelMode::kGeneration);
    EXPECT_EQ(facts->file_bytes, std::filesystem::file_size(corpus(name)));
    const std::string bytes = testing::read_all(corpus(name));
    EXPECT_EQ(*parse(bytes), *facts) << "from memory and from disk";
  }
}

TEST(Gguf, RefusesWithTheReason) {
  const std::map<std::string, std::string> kExpected = {
      {"version_1", "version 1"},
      {"version_9", "version 9"},
      {"big_endian", "big endian"},
      {"wrong_magic", "not a GGUF file"},
      {"empty", "shorter than 4 bytes"},
      {"magic_only", "version at byte 4"},
      {"count_pairs_lies", "metadata pairs; at most"},
      {"count_tensors_lies", "tensors; at most"},
      {"count_tensors_1m", "do not fit a file of"},
      {"array_length_lies", "elements, but only 2 bytes"},
      {"array_of_strings_lies", "elements, but only 2 bytes"},
      {"array_nested", "nested"},
      {"key_length_lies", "claims a length of"},
      {"string_length_lies", "claims a length of"},
      {"type_unknown", "unknown metadata type 99"},
      {"alignment_0", "power of two"},
      {"alignment_3", "power of two"},
      {"negative_layers", "out of range"},
      {"many_layers", "layers; at most"},
      {"no_architecture", "general.architecture"},
      {"dimensions_5", "5 dimensions"},
      {"dimensions_overflow", "more elements"},
      {"dimensions_bytes_overflow", "more bytes"},
      {"dimensions_negative", "more elements"},
      {"dimensions_block", "blocks of 32"},
      {"tensor_type_unknown", "type 4"},
      {"tensor_name_long", "claims a length of 300"},
      {"offset_beyond", "offset 9223372036854775808 instead of 0"},
      {"offset_overlap", "offset 0 instead of 256"},
      {"offset_unaligned", "offset 7 instead of 0"},
      {"truncated_data", "need 1664 bytes, it has 1464"},
      {"truncated_header", "ends after 333 bytes"},
  };
  for (const auto& [name, reason] : kExpected) {
    const auto facts = read_gguf(corpus(name));
    ASSERT_FALSE(facts) << name;
    EXPECT_THAT(facts.error().message, HasSubstr(reason)) << name;
    EXPECT_THAT(facts.error().message, HasSubstr(name)) << "the message names the file";
  }
}

TEST(Gguf, EveryTruncationIsNoticed) {
  const std::string whole = testing::read_all(corpus("valid"));
  // 800 bytes of data are there, 672 + 128 of which tensors use.
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_FALSE(parse(whole.substr(0, size))) << size;
    ASSERT_FALSE(parse_gguf(std::as_bytes(std::span(whole)).first(size), size)) << size;
  }
}

TEST(Gguf, HeadOfALargerFile) {
  const std::string whole = testing::small_model();
  const auto head = std::as_bytes(std::span(whole));
  const auto facts = parse_gguf(head, whole.size() + 100);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->file_bytes, whole.size() + 100);
  EXPECT_THAT(parse_gguf(head.first(60), whole.size()).error().message, HasSubstr("goes on after the first 60 bytes"));
}

TEST(Gguf, SuggestsWhatItIsGoodFor) {
  const auto mode = [](const GgufBuilder& builder) { return parse(builder.build())->mode; };
  EXPECT_EQ(mode(GgufBuilder("qwen3")), ModelMode::kGeneration);
  EXPECT_EQ(mode(GgufBuilder("qwen3").number("qwen3.pooling_type", 3)), ModelMode::kEmbedding);
  EXPECT_EQ(mode(GgufBuilder("qwen3").number("qwen3.pooling_type", 3).flag("qwen3.attention.causal", true)),
            ModelMode::kGeneration);
  EXPECT_EQ(mode(GgufBuilder("qwen3").number("qwen3.pooling_type", 0)), ModelMode::kGeneration);
  EXPECT_EQ(mode(GgufBuilder("qwen3").number("qwen3.pooling_type", 4)), ModelMode::kRerank);
  EXPECT_EQ(mode(GgufBuilder("bert")), ModelMode::kEmbedding);
  EXPECT_EQ(mode(GgufBuilder("nomic-bert").number("nomic-bert.pooling_type", 1)), ModelMode::kEmbedding);
  EXPECT_EQ(mode(GgufBuilder("bert").strings("bert.classifier.output_labels", {"no", "yes"})), ModelMode::kRerank);
  EXPECT_TRUE(parse(GgufBuilder("bert").build())->has_encoder);
  EXPECT_FALSE(parse(GgufBuilder("bert").build())->causal);
  EXPECT_TRUE(parse(GgufBuilder("llama").tensor("enc.blk.0.x", 8).build())->has_encoder);
}

TEST(Gguf, HintsForOtherFiles) {
  EXPECT_THAT(parse("version https://git-lfs.github.com/spec/v1\n").error().message, HasSubstr("LFS"));
  EXPECT_THAT(parse("<!DOCTYPE html>").error().message, HasSubstr("web page"));
  EXPECT_THAT(parse("PK\x03\x04xxxx").error().message, HasSubstr("archive"));
}

TEST(Gguf, LongTemplateIsCutAtACharacter) {
  std::string text;
  while (text.size() <= 256 * 1024) text += "\xc3\xa9";
  text.insert(0, "x");
  const auto facts = parse(GgufBuilder().text("tokenizer.chat_template", text).build());
  ASSERT_TRUE(facts);
  EXPECT_TRUE(facts->chat_template_cut);
  EXPECT_EQ(facts->chat_template, text.substr(0, 256 * 1024 - 1));
}

TEST(Gguf, HeaderLargerThanTheReadWindow) {
  const testing::TempDir dir;
  const std::vector<std::string> tokens(30'000, "0123456789abcdef");
  const auto path = dir.write("x.gguf", GgufBuilder()
                                            .strings("tokenizer.ggml.tokens", tokens)
                                            .text("tokenizer.chat_template", std::string(200'000, 't'))
                                            .number("llama.context_length", 7)
                                            .tensor("output.weight", 64)
                                            .build());
  const auto facts = read_gguf(path);
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->vocab_size, 30'000u);
  EXPECT_EQ(facts->context_length, 7u);
  EXPECT_EQ(facts->chat_template.size(), 200'000u);
}

TEST(Gguf, RefusesWhatIsNoFile) {
  const testing::TempDir dir;
  EXPECT_EQ(read_gguf(dir.path() / "absent.gguf").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read_gguf(dir.path()).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace llm::models
