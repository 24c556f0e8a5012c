"""What can write an answer: `composer` (no model), `local` (transformers + PEFT), `endpoint` (an OpenAI-compatible server)."""
