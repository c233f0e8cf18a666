"""The one table of settings is whole: a role, a description and unambiguous aliases for every one."""

from samebits.recipe.settings import Settings, kind_of, names_with_role, values_with_role


def test_every_setting_has_a_role_and_a_description() -> None:
    roles = [kind_of(name).role for name in Settings.model_fields]
    assert set(roles) == {"recipe", "execution", "location"}
    assert all(field.description for field in Settings.model_fields.values())


def test_no_alias_means_two_things() -> None:
    aliases = [alias.name for name in Settings.model_fields for alias in kind_of(name).aliases]
    assert len(aliases) == len(set(aliases))
    assert not set(aliases) & set(Settings.model_fields)


def test_roles_share_out_every_setting() -> None:
    names = [*names_with_role("recipe"), *names_with_role("execution"), *names_with_role("location")]
    assert sorted(names) == sorted(Settings.model_fields)


def test_no_path_of_a_machine_is_recipe() -> None:
    recipe = values_with_role(Settings(), "recipe")
    assert not {"model_name_or_path", "dataset_name", "eval_dataset_name", "output_dir", "threads"} & set(recipe)


def test_defaults_are_the_studys() -> None:
    settings = Settings()
    assert (settings.lora_r, settings.lora_alpha, settings.lora_dropout) == (16, 32, 0.1)
    assert (settings.seed, settings.num_train_epochs) == (42, 1)
