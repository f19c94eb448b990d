"""Speed and memory of LoRA training on the CPU with PyTorch and PEFT, the peer of `evol bench train`.

    pip install torch transformers peft gguf accelerate
    python benches/peers/pytorch_peft.py MODEL.gguf [--tokens 512] [--steps 6] [--threads 2] [--gradient-checkpointing]

Prints one JSON object with the fields of `evol bench train --json`: tokens per second of the middle step, processor seconds
per step, largest resident memory. The model is the same GGUF file, decoded to f32; the adapter has rank 16 on all linear
layers; a step is a row of random tokens, forward, backward, clipping and AdamW. The first step is not timed.
"""
import argparse
import json
import pathlib
import resource
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("--tokens", type=int, default=512)
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--gradient-checkpointing", action="store_true")
arguments = parser.parse_args()

torch.manual_seed(0)
torch.set_num_threads(arguments.threads)
model = AutoModelForCausalLM.from_pretrained(
    arguments.model.parent, gguf_file=arguments.model.name, dtype=torch.float32, attn_implementation="sdpa"
)
model.config.use_cache = False
if arguments.gradient_checkpointing:
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
model.train()
parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.0)

wall, processor = [], []
for _ in range(arguments.steps + 1):
    tokens = torch.randint(0, model.config.vocab_size, (1, arguments.tokens))
    started, used = time.perf_counter(), time.process_time()
    model(input_ids=tokens, labels=tokens).loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    wall.append(time.perf_counter() - started)
    processor.append(time.process_time() - used)

print(json.dumps({
    "tokens_per_second": arguments.tokens / statistics.median(wall[1:]),
    "cpu_seconds_per_step": statistics.mean(processor[1:]),
    "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
