# Each target does its own set-up. ARGS="..." is passed on: make demo ARGS="--json --turns 3"
.DEFAULT_GOAL := help
.PHONY: help demo test coverage faults soak check format bench autobahn chart-test kube-test sdk-test livekit-test trace-test fuzz reference dashboards-drawn images images-test compose-test load load-test versions-test webhooks-test okhttp-test release clean
READY := .venv/.ready
BIN := .venv/bin

# With COMPILED=1 the hot path runs compiled, as from a wheel that was built so (ADR 9). bench does that by
# itself; bench COMPILED= measures what is in the tree.
COMPILED ?= $(filter bench,$(MAKECMDGOALS))
BUILT := build/compiled
LOAD := .venv/.load
OKHTTP := build/okhttp
SDK := build/sdk/spatius-1.1.1
# Tests wait more than they compute: one process more than cores, two under the tracer.
CORES := $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell expr $(CORES) + $(if $(filter coverage,$(MAKECMDGOALS)),2,1))
# Tests start a thousand processes: each would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE
SOURCES := $(shell find services shared -name '*.py' -o -name '*.lua')
RUNS := $(READY) $(if $(COMPILED),$(BUILT)/.ready)
WITH := $(if $(COMPILED),PYTHONPATH=$(CURDIR)/$(BUILT))

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt scripts/bootstrap
	@scripts/bootstrap

$(BUILT)/.ready: $(READY) scripts/compile scripts/compile_hook.py $(SOURCES)
	@scripts/compile $(BUILT)

demo: $(RUNS) ## Run the whole relay here and compare what every viewer got (ARGS="--help")
	@$(WITH) $(BIN)/avatar-relay demo $(ARGS)

test: $(RUNS) ## Run the tests (ARGS goes to pytest)
	@$(WITH) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup $(ARGS)

coverage: $(READY) ## Run the tests, and compare the lines and branches they reach with each package's floor (PURE=1: pure packages alone)
	@PURE=$(PURE) WORKERS=$(WORKERS) scripts/coverage $(ARGS)

faults: $(RUNS) ## Break a running relay in every way there is, and compare (ARGS="--help")
	@$(WITH) $(BIN)/python -m tests.faults.run $(ARGS)

soak: $(RUNS) ## Hundreds of conversations for minutes, something breaks every few seconds (ARGS="--help")
	@$(WITH) $(BIN)/python -m tests.faults.soak $(ARGS)

check: $(READY) ## Lint, types, import contracts, and all that is generated
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m scripts.chart --check
	@$(BIN)/python -m scripts.reference --check
	@$(BIN)/python -m scripts.dashboards --check

format: $(READY) ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(RUNS) ## Measure cost and latency beside the floor and peers (ARGS="--help")
	@$(WITH) $(BIN)/python -m tests.benchmarks.run $(ARGS)

autobahn: $(RUNS) ## Run Autobahn's cases against the gateway's WebSocket, and write docs/reports/autobahn.md
	@$(WITH) $(BIN)/python -m tests.contract.autobahn.cases

compose-test: $(READY) ## Run docker-compose.yml under the verifier, and kill each container (SHORT=1: up, verify, down)
	@$(BIN)/python -m pytest tests/compose $(if $(SHORT),-k "configuration or quick_start") $(ARGS)

$(SDK):
	@$(BIN)/pip download --quiet --no-deps --no-binary spatius --dest $(@D) $(subst -,==,$(@F))
	@tar -xzf $@.tar.gz -C $(@D)

sdk-test: $(RUNS) $(SDK) ## Run the vendor's own SDK tests against the simulator; Ogg Opus needs libopus
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sdk-test]'
	@$(WITH) $(BIN)/python -m tests.contract.vendor_sdk $(SDK)

chart-test: $(READY) ## Render the chart with every file of values, and check each object
	@$(BIN)/python -m pytest --numprocesses 0 tests/chart $(ARGS)

kube-test: $(READY) ## Install the chart in a real cluster, and break the cluster under load; docs/operations/upgrades.md (SHORT=1: one upgrade)
	@$(BIN)/python -m tests.kube.run $(if $(SHORT),--short) $(ARGS)

livekit-test: $(RUNS) ## Run the vendor's LiveKit plug-in against the simulator and the server of LIVEKIT_URL
	@test -n "$$LIVEKIT_URL" || { echo "set LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET"; exit 2; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[livekit-test]'
	@$(WITH) $(BIN)/python -m pytest tests/contract/test_livekit_plugin.py $(ARGS)

$(LOAD): $(READY)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[load]'
	@touch $@

load: $(RUNS) $(LOAD) ## Put load on a relay for 30 s with Locust, or on that of LOAD_CONTROL_URL; report in build/load (ARGS="--help")
	@$(WITH) $(BIN)/python -m tests.load.run $(ARGS)

load-test: $(RUNS) $(LOAD) ## Test what makes a run of load fail, and Locust's page
	@$(WITH) $(BIN)/python -m pytest tests/load $(ARGS)

webhooks-test: $(RUNS) ## Deliver a thousand webhooks to a receiver that fails and is away, with workers that are killed
	@$(WITH) $(BIN)/python -m pytest tests/e2e/test_webhooks.py --webhooks 1000 $(ARGS)

$(OKHTTP)/Client.class: tests/contract/okhttp/Client.java tests/contract/okhttp/pom.xml
	@mvn --quiet --file tests/contract/okhttp/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(OKHTTP)
	@javac -cp '$(OKHTTP)/*' -d $(OKHTTP) $<

okhttp-test: $(RUNS) $(OKHTTP)/Client.class ## Run OkHttp, the library of the Android apps, against the gateway; needs a JDK and Maven
	@$(WITH) OKHTTP_CLASSPATH='$(OKHTTP):$(OKHTTP)/*' $(BIN)/python -m pytest tests/integration/gateway/dialects/test_okhttp.py $(ARGS)

trace-test: $(RUNS) ## Read the traces of turns back from a Jaeger (OTLP_HTTP_URL, JAEGER_QUERY_URL), compare and draw them into docs/images
	@test -n "$$OTLP_HTTP_URL" -a -n "$$JAEGER_QUERY_URL" || { echo "set OTLP_HTTP_URL and JAEGER_QUERY_URL"; exit 2; }
	@$(WITH) $(BIN)/python -m pytest tests/e2e/test_jaeger.py $(ARGS)

fuzz: $(READY) ## Feed every decoder a million inputs found by coverage, and write docs/reports/fuzzing.md (ARGS="--help")
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

reference: $(READY) ## Write the generated reference pages, dashboards and files of the chart
	@$(BIN)/python -m scripts.reference
	@$(BIN)/python -m scripts.chart
	@$(BIN)/python -m scripts.dashboards

dashboards-drawn: $(RUNS) ## Run the relay under a Prometheus, and draw each dashboard into docs/images (ARGS="--help")
	@$(WITH) $(BIN)/python -m tests.e2e.draw_dashboards $(ARGS)

images: ## Build the image of each service, and print their sizes (TAG=, ARGS="gateway jobs")
	@scripts/images $(if $(TAG),--tag $(TAG)) $(ARGS)

images-test: $(READY) ## Run the images of TAG as restricted as Kubernetes can, and look into them
	@IMAGES_TAG=$(TAG) $(BIN)/python -m pytest tests/images $(ARGS)

release: $(READY) ## Build everything that a version consists of, from its tag, into dist/release (ARGS="--help")
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	@$(BIN)/python -m scripts.release $(ARGS)

versions-test: $(RUNS) ## Run this version beside another, in every mix and through an update and its way back (ARGS="--against REF")
	@$(WITH) $(BIN)/python -m pytest tests/versions $(ARGS)

clean: ## Remove the virtual environment and caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
