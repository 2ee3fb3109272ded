#include "models/repository_pull.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/git_id.h"
#include "models/hub_tree.h"
#include "models/hub_under_test.h"
#include "models/repository_facts.h"
#include "models/repository_under_test.h"
#include "models/safetensors.h"

namespace llm::models {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HubStandin;
using testing::never;
using testing::small_safetensors;

class RepositoryTest : public ::testing::Test {
 protected:
  RepositoryTest() : hub_(dir_.path() / "hub") {}
  void SetUp() override {
    ASSERT_NE(hub_.port(), 0) << "python3 tests/hub_standin.py does not start";
    testing::write_repository(dir_, "hub/org/Tiny", 500'000);
    auto opened = ModelStore::open({dir_.path() / "store", 1}, files_);
    ASSERT_TRUE(opened);
    store_ = std::move(*opened);
    settings_.hub_endpoint = hub_.url() + "/";
    settings_.backoff_ms = 1;
    settings_.retries = 3;
  }
  Result<Manifest> pull_tiny(PullRequest request = {}) {
    if (request.source.empty()) request.source = "hf:org/Tiny";
    return pull(*store_, settings_, request, {}, never());
  }
  std::size_t partials() const { return testing::count_files(store_->root() / "partial"); }
  static std::vector<std::string> paths(const Manifest& manifest) {
    std::vector<std::string> all;
    for (const auto& file : manifest.files) all.push_back(file.path);
    return all;
  }

  testing::TempDir dir_;
  HubStandin hub_;
  testing::FailingFileSystem files_;
  std::unique_ptr<ModelStore> store_;
  PullSettings settings_;
};

TEST_F(RepositoryTest, EveryFileThatIsNeeded) {
  hub_.set("page=3");
  const auto manifest = pull_tiny({.creator = "tester", .notes = "for vLLM"});
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_THAT(paths(*manifest), ElementsAre("1_Pooling/config.json", "LICENSE", "config.json",
                                            "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                            "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"));
  EXPECT_EQ(manifest->kind, ModelKind::kRepository);
  EXPECT_EQ(manifest->name, (ModelName{"tiny", "latest"}));
  EXPECT_EQ(manifest->revision, "0123456789abcdef0123456789abcdef01234567");
  EXPECT_EQ(manifest->source, "hf:org/Tiny@0123456789abcdef0123456789abcdef01234567");
  EXPECT_EQ(manifest->license, "mit");
  EXPECT_EQ(manifest->creator, "tester");
  EXPECT_EQ(manifest->facts.architecture, "LlamaForCausalLM");
  EXPECT_EQ(manifest->facts.parameters, 1'000'000u);
  EXPECT_EQ(manifest->facts.context_length, 4096u);
  EXPECT_EQ(manifest->facts.key_length, 16u);
  EXPECT_EQ(manifest->facts.quantisation, "BF16");
  EXPECT_EQ(manifest->facts.chat_template, "{{ messages }}");
  EXPECT_EQ(*store_->find("tiny"), *manifest);
  const auto folder = store_->repository_path(*manifest);
  ASSERT_TRUE(folder);
  for (const auto& file : manifest->files) {
    EXPECT_EQ(sha256_of(testing::read_all(*folder / file.path)), file.digest) << file.path;
  }
  EXPECT_EQ(partials(), 0u);
  EXPECT_EQ(store_->gc({.partial_downloads = true, .versions = true})->files, 0u);
  // Again: nothing is fetched. Without its folder: it is made again.
  hub_.control("reset");
  EXPECT_EQ(pull_tiny()->version(), manifest->version());
  EXPECT_TRUE(hub_.ranges().empty());
  fs::remove_all(*folder / "1_Pooling");
  EXPECT_TRUE(fs::exists(*store_->repository_path(*manifest) / "1_Pooling/config.json"));
  ASSERT_TRUE(store_->remove(manifest->name));
  EXPECT_EQ(testing::count_files(store_->root() / "blobs"), 0u);
  ASSERT_TRUE(store_->gc());
  EXPECT_TRUE(fs::is_empty(store_->root() / "repositories"));
}

TEST_F(RepositoryTest, FilesComeAtTheSameTime) {
  hub_.set("together=4");
  const auto manifest = pull_tiny();  // eight files; one after the other they would wait for ever
  ASSERT_TRUE(manifest) << manifest.error().message;
}

TEST_F(RepositoryTest, GoesOnWhereItWasCut) {
  settings_.retries = 1;
  settings_.parallel = 1;
  hub_.set("cut_after=700000&cuts=1");
  const auto cut = pull_tiny();
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::kUnavailable) << cut.error().message;
  EXPECT_EQ(store_->find("tiny").error().code, ErrorCode::kNotFound) << "not visible before it is whole";
  EXPECT_EQ(store_->gc({.versions = true})->files, 0u) << "what came is kept";
  const auto manifest = pull_tiny();
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_THAT(hub_.ranges(), ::testing::Contains("bytes=700000-"));
  for (const auto& file : manifest->files) EXPECT_TRUE(store_->verify(file.digest, {}, never()));
  EXPECT_EQ(partials(), 0u);
}

TEST_F(RepositoryTest, GivingUpLeavesNothingAfterGc) {
  settings_.retries = 1;
  settings_.parallel = 1;
  hub_.set("cut_after=700000&cuts=1");
  ASSERT_FALSE(pull_tiny());
  EXPECT_GT(partials(), 0u);
  EXPECT_GT(store_->gc({.partial_downloads = true})->files, 0u);
  EXPECT_EQ(partials() + testing::count_files(store_->root() / "blobs"), 0u);
}

TEST_F(RepositoryTest, WhatIsDamagedIsRefused) {
  settings_.parallel = 1;
  hub_.set("corrupt=1");
  const auto small = pull_tiny();
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(small.error().message, HasSubstr("Git hash"));
  for (const auto* name : {"config.json", "tokenizer.json", "tokenizer_config.json", "LICENSE",
                           "model.safetensors.index.json", "1_Pooling/config.json"}) {
    dir_.write(std::string("store/in/") + name, "");
  }
  hub_.set("corrupt=0&wrong_hash=1");
  const auto large = pull_tiny();
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(large.error().message, HasSubstr("model-00001-of-00002.safetensors"));
  EXPECT_TRUE(store_->list()->models.empty());
  hub_.control("reset");
  EXPECT_TRUE(pull_tiny());
}

TEST_F(RepositoryTest, WeightsThatAreNotSoundAreRefused) {
  dir_.write("hub/org/Tiny/model-00002-of-00002.safetensors", small_safetensors('x').substr(0, 60));
  const auto manifest = pull_tiny();
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(manifest.error().message, HasSubstr("model-00002-of-00002.safetensors"));
  EXPECT_TRUE(store_->list()->models.empty());
}

TEST_F(RepositoryTest, WhatMayBePulled) {
  settings_.allowed_sources = {"hf:acme/*", "https://models.example.org/*"};
  const auto refused = pull_tiny();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(refused.error().message, HasSubstr("hf:acme/*, https://models.example.org/*"));
  EXPECT_TRUE(hub_.control("log").get_array().empty()) << "nobody is asked";
  EXPECT_EQ(pull_tiny({.source = hub_.url() + "/files/org/Tiny/x.gguf"}).error().code, ErrorCode::kPermissionDenied);
  settings_.allowed_sources.emplace_back("hf:org/*");
  EXPECT_TRUE(pull_tiny());
  EXPECT_TRUE(check_allowed({.allowed_sources = {"hf:o/r@v1"}}, HubSource{"o", "r", "", "v1"}));
  EXPECT_FALSE(check_allowed({.allowed_sources = {"hf:o/r@v1"}}, HubSource{"o", "r", "", "v2"}));
}

TEST_F(RepositoryTest, LicencesAndGates) {
  hub_.set("license=other&license_name=llama3&license_link=https://example.org/terms");
  EXPECT_EQ(pull_tiny()->license, "llama3 (https://example.org/terms)");
  hub_.set("status=403&gated=1");
  const auto gated = pull_tiny({.name = ModelName{"again"}});
  EXPECT_EQ(gated.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(gated.error().message, HasSubstr("accept its terms on the model's page, " + hub_.url() + "/org/Tiny,"));
}

TEST_F(RepositoryTest, TheListStaysAtTheHub) {
  hub_.set("page=2&far=1");
  const auto manifest = pull_tiny();
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(manifest.error().message, HasSubstr("another server"));
}

TEST_F(RepositoryTest, AskedForByName) {
  dir_.write("hub/org/Both/model.gguf", testing::small_model());
  testing::write_repository(dir_, "hub/org/Both");
  EXPECT_EQ(pull_tiny({.source = "hf:org/Both"})->kind, ModelKind::kGguf);
  const auto whole =
      pull_tiny({.source = "hf:org/Both", .name = ModelName{"whole"}, .format = PullFormat::kRepository});
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->kind, ModelKind::kRepository);
  EXPECT_EQ(pull_tiny({.source = "hf:org/Both:model.gguf", .format = PullFormat::kRepository}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(pull_tiny({.source = hub_.url() + "/x.gguf", .format = PullFormat::kRepository}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(pull_tiny({.format = PullFormat::kGguf}).error().code, ErrorCode::kNotFound);
  const auto code = pull_tiny({.code = true});
  ASSERT_TRUE(code);
  EXPECT_THAT(paths(*code), ::testing::Contains("modeling_tiny.py"));
}

// The disk is full at the n-th call: nothing is visible, and the next pull goes on.
TEST_F(RepositoryTest, DiskFullAtAnyCall) {
  testing::write_repository(dir_, "hub/org/Tiny", 8);
  settings_.parallel = 1;
  for (int n = 1;; ++n) {
    files_.calls = 0;
    files_.fail_at = n;
    const auto manifest = pull_tiny();
    const bool failed_once = files_.calls >= n;
    files_.fail_at = 0;
    if (!failed_once) break;
    if (!manifest) ASSERT_EQ(manifest.error().code, ErrorCode::kDiskFull) << manifest.error().message;
    if (const auto found = store_->find("tiny")) {
      for (const auto& digest : found->blobs()) ASSERT_TRUE(store_->blob_path(digest)) << "call " << n;
    }
    const auto again = pull_tiny();
    ASSERT_TRUE(again) << "call " << n << ": " << again.error().message;
    ASSERT_TRUE(store_->repository_path(*again));
    ASSERT_TRUE(store_->remove({"tiny"}));
    ASSERT_TRUE(store_->gc({.partial_downloads = true}));
    ASSERT_EQ(testing::count_files(store_->root() / "blobs") + partials(), 0u) << "call " << n;
    ASSERT_LT(n, 400);
  }
}

TEST(RepositoryFiles, PicklesOnlyWhenAskedFor) {
  const auto choose = [](std::vector<std::string> paths, RepositoryChoice choice = {}) {
    std::vector<HubFile> files;
    for (auto& path : paths) files.push_back({.path = std::move(path), .size = 1, .digest = {}});
    auto chosen = choose_repository_files(files, choice, "o/r");
    std::vector<std::string> names;
    if (!chosen) return std::vector<std::string>{chosen.error().message};
    for (const auto& file : *chosen) names.push_back(file.path);
    return names;
  };
  EXPECT_THAT(choose({"config.json", "pytorch_model.bin"}), ElementsAre(HasSubstr("--pickles")));
  EXPECT_THAT(choose({"config.json", "pytorch_model.bin"}, {.pickles = true}),
              ElementsAre("config.json", "pytorch_model.bin"));
  EXPECT_THAT(choose({"config.json", "pytorch_model.bin", "model.safetensors"}, {.pickles = true}),
              ElementsAre("config.json", "model.safetensors"));
  EXPECT_THAT(choose({"config.json", "consolidated.safetensors", "model.safetensors"}),
              ElementsAre("config.json", "model.safetensors"));
  EXPECT_THAT(choose({"config.json", "consolidated.safetensors"}),
              ElementsAre("config.json", "consolidated.safetensors"));
  EXPECT_THAT(choose({"model.safetensors"}), ElementsAre(HasSubstr("config.json")));
}

TEST(RepositoryFiles, Tree) {
  const auto page = parse_hub_tree(R"([{"type":"directory","path":"x"},{"type":"file","path":"../x","size":1},
      {"type":"file","path":".x","size":1},{"type":"file","path":"a/b.json","size":3,"oid":"0123456789012345678901234567890123456789"},
      {"type":"file","path":"m.safetensors","size":0,"lfs":{"oid":")" +
                                   std::string(64, 'a') + R"(","size":7}}, 5])");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->files.size(), 2u);
  EXPECT_EQ(page->files[0].git_id.size(), 40u);
  EXPECT_EQ(page->files[1].digest->hex(), std::string(64, 'a'));
  EXPECT_EQ(page->files[1].size, 7u);
  EXPECT_EQ(parse_hub_tree("{}").error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(next_page("<https://h/x?c=1>; rel=\"next\""), "https://h/x?c=1");
  EXPECT_EQ(next_page("<https://h/p>; rel=\"prev\", </y>; rel=next"), "/y");
  EXPECT_EQ(next_page("<https://h/p>; rel=\"prev\""), "");
  EXPECT_EQ(next_page("<<<"), "");
}

TEST(RepositoryFiles, GitId) {
  const testing::TempDir dir;
  const auto file = dir.write("x", "what is up, doc?");
  EXPECT_EQ(*git_id_of(open_regular(file, false)->get(), file), "bd9dbf5aae1a3862dd1526723246b20206e5fc37");
}

TEST(RepositoryFiles, Config) {
  EXPECT_EQ(facts_of_config("[]").error().code, ErrorCode::kMalformed);
  const auto vision = facts_of_config(
      R"({"architectures":["XForConditionalGeneration"],"text_config":{"hidden_size":8,"num_attention_heads":0}})");
  EXPECT_EQ(vision->embedding_length, 8u);
  EXPECT_EQ(vision->key_length, 0u);
  EXPECT_EQ(facts_of_config(R"({"architectures":["BertModel"]})")->mode, ModelMode::kEmbedding);
  EXPECT_EQ(facts_of_config(R"({"architectures":["QForSequenceClassification"]})")->mode, ModelMode::kRerank);
  EXPECT_EQ(facts_of_config(R"({"model_type":"llama","max_position_embeddings":-5})")->context_length, 0u);
}

TEST(Safetensors, HeadersAreChecked) {
  const auto parse = [](const std::string& bytes) {
    return parse_safetensors(std::as_bytes(std::span(bytes)), bytes.size());
  };
  const auto facts = parse(small_safetensors('x', 10));
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->parameters, 10u);
  EXPECT_EQ(facts->bytes, 20u);
  EXPECT_EQ(facts->dominant_type, "BF16");
  const std::string good = small_safetensors('x', 10);
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(parse(good.substr(0, size)).error().code, ErrorCode::kMalformed) << size;
  }
}

}  // namespace
}  // namespace llm::models
