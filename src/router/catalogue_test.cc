#include "router/catalogue.h"

#include <gmock/gmock.h>

#include "async/run_task.h"
#include "base/strings.h"
#include "models/test_support.h"

namespace llm::router {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CatalogueTest : public ::testing::Test {
 protected:
  CatalogueTest() : store_(models::ModelStore::open({.root = dir_.path() / "store"}).value()) {}

  void add(const std::string& name, char filler = 'a', std::uint64_t elements = 256) {
    const auto file = dir_.write("file.gguf", models::testing::small_model(filler, elements));
    models::ImportOptions options;
    options.replace = true;
    ASSERT_TRUE(
        store_->import_file(file, models::parse_model_name(name).value(), options, {}, models::testing::never()));
  }
  // A repository as vLLM reads it; `text` makes versions differ.
  models::Manifest add_repository(const std::string& name, const std::string& text = "{}") {
    models::Manifest manifest;
    manifest.name = models::parse_model_name(name).value();
    manifest.kind = models::ModelKind::kRepository;
    auto pin = store_->pin(name, {}).value();
    const auto file = dir_.write("config.json", text);
    const auto blob = store_->add_blob(pin, file, models::ImportMethod::kCopy, {}, {}, models::testing::never());
    manifest.files.push_back({"config.json", blob.value(), text.size()});
    manifest.size = text.size();
    manifest.digest = models::files_digest(manifest.files);
    auto published = store_->publish(manifest, true).value();
    pin.release();
    return published;
  }
  Catalogue& catalogue() {
    if (!catalogue_) catalogue_ = std::make_unique<Catalogue>(*store_, pool_, settings_);
    return *catalogue_;
  }
  Result<std::shared_ptr<const CatalogueEntry>> resolve(const std::string& name, DefaultChoice choice = {}) {
    Result<std::shared_ptr<const CatalogueEntry>> found = nullptr;
    auto body = [&]() -> Task<void> { found = co_await catalogue().resolve(name, std::move(choice)); };
    run_task(loop_, body());
    return found;
  }
  // The key of what serves the name, or the error's message.
  std::string key(const std::string& name, DefaultChoice choice = {}) {
    const auto found = resolve(name, std::move(choice));
    return found ? (*found)->spec->key : found.error().message;
  }
  std::shared_ptr<const CatalogueSnapshot> list(bool fresh) {
    std::shared_ptr<const CatalogueSnapshot> snapshot;
    auto body = [&]() -> Task<void> { snapshot = (co_await catalogue().list(fresh)).value(); };
    run_task(loop_, body());
    return snapshot;
  }

  Loop loop_{"test"};
  models::testing::TempDir dir_;
  std::unique_ptr<models::ModelStore> store_;
  BlockingPool pool_{1};
  CatalogueSettings settings_;
  std::unique_ptr<Catalogue> catalogue_;
};

TEST_F(CatalogueTest, NamesVersionsAndAliases) {
  add("qwen");
  add("qwen:v2", 'b');
  add("org/other");
  ASSERT_TRUE(store_->set_alias("small", models::parse_model_name("qwen:v2").value()));
  EXPECT_EQ(key("qwen"), "qwen:latest");
  EXPECT_EQ(key("qwen:latest"), "qwen:latest");
  EXPECT_EQ(key("qwen:v2"), "qwen:v2");
  EXPECT_EQ(key("small"), "qwen:v2");
  EXPECT_EQ(key("org/other"), "org/other:latest");
  EXPECT_EQ(resolve("qwen").value()->spec->model, "qwen");
  EXPECT_EQ(resolve("qwen:v2").value()->spec->model, "qwen:v2");
  const auto snapshot = list(false);
  EXPECT_EQ(snapshot->entries.size(), 3U);
  EXPECT_EQ(snapshot->aliases.at("small"), "qwen:v2");
}

TEST_F(CatalogueTest, VersionsHaveEnginesOfTheirOwn) {
  add("m", 'a');
  const auto first = resolve("m").value();
  EXPECT_EQ(first->spec->key, "m:latest");
  EXPECT_EQ(first->version, store_->find("m")->version_text());
  add("m", 'b');
  catalogue().invalidate();
  const auto second = resolve("m").value();
  EXPECT_THAT(second->spec->key, ::testing::StartsWith("m:latest@sha256:"));
  EXPECT_NE(second->spec->file, first->spec->file);
  // The model is the same for rights, limits and metrics, whichever version serves it.
  EXPECT_EQ(first->name, "m:latest");
  EXPECT_EQ(second->name, "m:latest");
  EXPECT_EQ(second->spec->model, "m");
  // By its digest, in full or not; what a tag stands for now runs once, however it is asked for.
  EXPECT_EQ(key(first->version), "m:latest");
  EXPECT_EQ(key(first->version.substr(0, first->version.find(':', 10) + 13)), "m:latest");
  EXPECT_EQ(resolve(first->version).value()->version, first->version);
  EXPECT_EQ(key(second->version), second->spec->key);
  EXPECT_EQ(resolve(second->version).value(), resolve("m").value());
  EXPECT_THAT(key("m@sha256:" + std::string(64, '0')), HasSubstr("not installed"));
  // Back again: the engine that may still run.
  ASSERT_TRUE(store_->rollback("m"));
  catalogue().invalidate();
  EXPECT_EQ(key("m"), "m:latest");
}

TEST_F(CatalogueTest, NotesMakeAVersionButNoOtherEngine) {
  add("m");
  const auto before = resolve("m").value();
  ASSERT_TRUE(store_->set_notes({"m"}, "good"));
  catalogue().invalidate();
  const auto after = resolve("m").value();
  EXPECT_NE(after->version, before->version);
  EXPECT_EQ(after->spec->key, "m:latest");
}

TEST_F(CatalogueTest, AliasesLeadToVersions) {
  add("m", 'a');
  const auto first = store_->find("m")->version_text();
  add("m", 'b');
  ASSERT_TRUE(store_->set_alias(
      "prod", {.targets = {{first, 95}, {"m:latest", 5}}, .shadow = {{"m:latest", 0.5}}, .history = {}}));
  EXPECT_EQ(resolve("prod").value()->version, first);
  EXPECT_EQ(resolve(first).value(), resolve("prod").value());
  const auto record = catalogue().alias_now("prod");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->targets.size(), 2U);
  EXPECT_EQ(record->shadow.at(0).model, "m:latest");
  EXPECT_EQ(list(false)->aliases.at("prod"), "m:latest");
}

TEST_F(CatalogueTest, WrongNamesAreToldWithTheNearest) {
  add("qwen-chat");
  const auto wrong = resolve("qwen-caht");
  EXPECT_EQ(wrong.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(wrong.error().pointer, "/model");
  EXPECT_THAT(wrong.error().message, AllOf(HasSubstr("\"qwen-caht\""), HasSubstr("did you mean qwen-chat")));
  EXPECT_THAT(resolve("something-else").error().message, Not(HasSubstr("did you mean")));
}

TEST_F(CatalogueTest, NaughtyNamesAreOnlyNotFound) {
  add("m");
  for (const std::string& name :
       {std::string("../../etc/passwd"), std::string("m/.."), std::string("m\0x", 3), std::string("m:"),
        std::string(":"), std::string("/"), std::string("//"), std::string(" m"), std::string("m\n"),
        std::string("\xff\xfe"), std::string(5'000'000, 'x'), std::string("up/"), std::string("/m")}) {
    const auto wrong = resolve(name);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::kNotFound);
    EXPECT_LT(wrong.error().message.size(), 600U);
    EXPECT_TRUE(valid_utf8(wrong.error().message));
  }
}

TEST_F(CatalogueTest, TheDefaultIsTheConfiguredOrTheSmallestThatGenerates) {
  EXPECT_THAT(resolve("").error().message, HasSubstr("no model is installed"));
  add("big", 'a', 4096);
  add("small", 'b', 64);
  EXPECT_EQ(key(""), "small:latest");
  catalogue_.reset();
  settings_.default_model = "big";
  EXPECT_EQ(key(""), "big:latest");
  catalogue_.reset();
  settings_.default_model = "gone";
  EXPECT_THAT(key(""), HasSubstr("\"gone\" is not installed"));
}

TEST_F(CatalogueTest, WithoutAConfiguredDefaultTheLoadedOneCounts) {
  add("small", 'a', 64);
  add("big", 'b', 4096);
  EXPECT_EQ(key("", {.loaded = {"big:latest"}}), "big:latest");
  EXPECT_EQ(key("", {.loaded = {"gone:latest", "big:latest", "small:latest"}}), "big:latest");
  catalogue_.reset();
  settings_.default_model = "small";
  EXPECT_EQ(key("", {.loaded = {"big:latest"}}), "small:latest");
}

TEST_F(CatalogueTest, TheDefaultFitsWhatTheRequestIsFor) {
  using engines::EngineMode;
  EXPECT_THAT(key("", {.mode = EngineMode::kEmbedding}), HasSubstr("no model is installed"));
  add("chat", 'a', 64);
  EXPECT_THAT(key("", {.mode = EngineMode::kEmbedding}), HasSubstr("no embedding model is installed"));
  add("vectors", 'b', 4096);
  add("ranks", 'c', 8192);
  settings_.models["vectors"].mode = EngineMode::kEmbedding;
  settings_.models["ranks"].mode = EngineMode::kRerank;
  settings_.default_model = "chat";
  catalogue_.reset();
  EXPECT_EQ(key(""), "chat:latest");
  EXPECT_EQ(key("", {.mode = EngineMode::kEmbedding, .loaded = {"chat:latest"}}), "vectors:latest");
  EXPECT_EQ(key("", {.mode = EngineMode::kRerank}), "ranks:latest");
  settings_.default_model = "vectors";
  catalogue_.reset();
  EXPECT_EQ(key(""), "chat:latest");  // the configured one cannot
}

TEST_F(CatalogueTest, AnExternalDefaultIsTriedForWhatNoLocalModelDoes) {
  using engines::EngineMode;
  engines::ProviderSettings external;
  external.base_url = "http://127.0.0.1:1/v1";
  settings_.external.emplace("up", external);
  settings_.default_model = "up/all";
  EXPECT_EQ(key(""), "up/all");
  EXPECT_EQ(key("", {.mode = EngineMode::kEmbedding}), "up/all");
  add("vectors");
  settings_.models["vectors"].mode = EngineMode::kEmbedding;
  catalogue_.reset();
  EXPECT_EQ(key("", {.mode = EngineMode::kEmbedding}), "vectors:latest");
}

TEST_F(CatalogueTest, ExternalEngines) {
  engines::ProviderSettings external;
  external.base_url = "http://127.0.0.1:1/v1";
  external.models = {"gpt", "m"};
  settings_.external.emplace("up", external);
  add("m");
  add("up/hidden");  // a local name wins over one that is made up
  EXPECT_EQ(key("gpt"), "up/gpt");
  EXPECT_EQ(key("up/gpt"), "up/gpt");
  EXPECT_EQ(key("m"), "m:latest");
  EXPECT_EQ(key("up/m"), "up/m");
  EXPECT_EQ(key("up/any/thing"), "up/any/thing");
  EXPECT_EQ(resolve("up/any/thing").value()->spec->model, "any/thing");
  EXPECT_EQ(resolve("up/any/thing").value()->external, "up");
  EXPECT_EQ(key("up/hidden"), "up/hidden:latest");
  EXPECT_THAT(key("down/gpt"), HasSubstr("is not installed"));
}

TEST_F(CatalogueTest, ChangesOfOthersAreSeen) {
  add("a");
  EXPECT_EQ(key("a"), "a:latest");
  add("b", 'b');
  EXPECT_EQ(key("b"), "b:latest") << "an unknown name is looked up anew";
  ASSERT_TRUE(store_->remove(models::parse_model_name("b").value()));
  EXPECT_EQ(list(true)->entries.size(), 1U);
  ASSERT_TRUE(store_->remove(models::parse_model_name("a").value()));
  catalogue().invalidate();
  EXPECT_THAT(key("a"), HasSubstr("is not installed"));
}

TEST_F(CatalogueTest, ListIsASnapshot) {
  add("a");
  const auto before = list(false);
  add("b", 'b');
  EXPECT_EQ(list(false), before) << "no older than the refresh time";
  EXPECT_EQ(list(true)->entries.size(), 2U);
  EXPECT_EQ(before->entries.size(), 1U);
}

TEST_F(CatalogueTest, SettingsComeFromTheConfigurationThenTheModel) {
  add("a");
  add("a:v2", 'b');
  add("own", 'c');
  ASSERT_TRUE(store_->set_settings(models::parse_model_name("own").value(), json::object{{"context", 512}}));
  ASSERT_TRUE(store_->set_settings(models::parse_model_name("a").value(), json::object{{"context", 1}}));
  settings_.models["a"].context = 1024;
  settings_.models["a:v2"].context = 2048;
  EXPECT_EQ(resolve("a").value()->spec->settings.context, 1024U);
  EXPECT_EQ(resolve("a:v2").value()->spec->settings.context, 2048U);
  EXPECT_EQ(resolve("own").value()->spec->settings.context, 512U);
}

TEST_F(CatalogueTest, WhatCannotBeServedSaysWhy) {
  add("lost");
  add("elsewhere", 'b');
  settings_.models["elsewhere"].engine = "gone";
  std::filesystem::remove(resolve("lost").value()->spec->file);
  catalogue().invalidate();
  const auto lost = check_servable(*resolve("lost").value());
  EXPECT_THAT(lost.error().message, HasSubstr("file of model \"lost\" is missing"));
  const auto elsewhere = check_servable(*resolve("elsewhere").value());
  EXPECT_THAT(elsewhere.error().message, HasSubstr("which the configuration does not list"));
  add("fine", 'c');
  EXPECT_TRUE(check_servable(*resolve("fine").value()));
}

TEST_F(CatalogueTest, ReplicasAreEnginesOfTheirOwn) {
  add("qwen");
  settings_.models["qwen"].replicas = 3;
  const auto entry = resolve("qwen").value();
  ASSERT_EQ(entry->replicas.size(), 3U);
  EXPECT_EQ(entry->replicas[0]->key, "qwen:latest");
  EXPECT_EQ(entry->replicas[2]->key, "qwen:latest#2");
  EXPECT_EQ(entry->replicas[2]->replica, 2U);
  EXPECT_EQ(entry->spec, entry->replicas[0]);
  EXPECT_EQ(entry->replicas[1]->file, entry->spec->file);
}

TEST_F(CatalogueTest, RepositoriesAreForVllm) {
  const auto manifest = add_repository("whole");
  const auto refused = check_servable(*resolve("whole").value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("engines.vllm"), HasSubstr("llama.cpp")));
  EXPECT_THAT(key(""), HasSubstr("no generation model is installed")) << "never the default by itself";
  settings_.vllm["big"].model = "store:whole";
  settings_.vllm["early"].model = "store:later";
  catalogue_.reset();
  const auto served = resolve("big").value();
  EXPECT_EQ(served->spec->file, store_->repository_path(manifest).value());
  EXPECT_EQ(served->version, manifest.version_text());
  EXPECT_EQ(served->name, "big");
  // It goes on with that folder, and says so; an engine whose model was not there yet takes it as soon as it is.
  add_repository("whole", R"({"other":1})");
  const auto later = add_repository("later");
  catalogue().invalidate();
  EXPECT_EQ(resolve("big").value()->version, manifest.version_text());
  EXPECT_EQ(resolve("early").value()->version, later.version_text());
}

TEST_F(CatalogueTest, VllmEnginesHaveTheNamesOfTheirEntryAndTheirModel) {
  engines::VllmSettings vllm;
  vllm.model = "org/big";
  vllm.served_name = "big-chat";
  vllm.replicas = 2;
  settings_.vllm["gpu"] = vllm;
  for (const auto* name : {"big-chat", "gpu", "gpu/big-chat"}) {
    const auto entry = resolve(name).value();
    EXPECT_EQ(entry->spec->key, "big-chat") << name;
    EXPECT_EQ(entry->spec->name, "gpu");
    EXPECT_TRUE(entry->spec->vllm);
    EXPECT_EQ(entry->replicas.size(), 2U);
  }
}

}  // namespace
}  // namespace llm::router
