//! GPT codec (to come).
