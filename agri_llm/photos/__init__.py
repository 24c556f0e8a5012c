"""Photos of plants: taken in safely, judged for quality, measured; `agri_llm.vision` says what they show."""
