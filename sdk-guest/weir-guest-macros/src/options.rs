//! What all attributes share: their options, documentation comments, and the types of arguments.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, Lit, LitStr, Meta, Pat, Result, Signature, Token, Type};

/// `name = "..."`, `immutable`, `stable`, `volatile`.
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    volatility: Ident,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self {
            name: None,
            volatility: format_ident!("Immutable"),
        };
        while !input.is_empty() {
            let option = input.call(Ident::parse_any)?;
            match option.to_string().as_str() {
                "name" => {
                    input.parse::<Token![=]>()?;
                    options.name = Some(name(input.parse()?)?);
                }
                "immutable" => options.volatility = format_ident!("Immutable"),
                "stable" => options.volatility = format_ident!("Stable"),
                "volatile" => options.volatility = format_ident!("Volatile"),
                _ => {
                    let message = "expected `name = \"...\"`, `immutable`, `stable` or `volatile`";
                    return Err(Error::new(option.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    pub(crate) fn volatility(&self) -> TokenStream {
        let volatility = &self.volatility;
        quote!(::weir_guest::__private::Volatility::#volatility)
    }
}

fn name(name: LitStr) -> Result<LitStr> {
    let value = name.value();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if value.is_empty() || !value.chars().all(word) || value.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Error::new(
            name.span(),
            "a function's name is made of letters, digits and underscores",
        ));
    }
    Ok(name)
}

/// The documentation comment, as Markdown.
pub(crate) fn docs(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(meta) => match &meta.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(line), ..
                }) => Some(line.value()),
                _ => None,
            },
            _ => None,
        })
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// An argument that is a column.
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// The variable that holds its column in generated code.
    column: Ident,
}

impl Param {
    pub(crate) fn new(position: usize, argument: &FnArg) -> Result<Self> {
        let FnArg::Typed(argument) = argument else {
            return Err(Error::new(argument.span(), "a function of columns has no `self`"));
        };
        let Pat::Ident(pattern) = &*argument.pat else {
            return Err(Error::new(
                argument.pat.span(),
                "an argument needs a name: it is the name of its column",
            ));
        };
        let name = pattern.ident.unraw().to_string();
        Ok(Self {
            name: name.trim_start_matches('_').to_owned(),
            ty: anonymous(&argument.ty)?,
            column: format_ident!("__column_{position}"),
        })
    }

    /// Adds the column to the schema `params`.
    pub(crate) fn declare(&self) -> TokenStream {
        let (name, ty) = (&self.name, &self.ty);
        quote_spanned!(ty.span()=> <#ty as ::weir_guest::Read<'_>>::declare(#name, false, &mut params);)
    }

    /// Takes the column from `__cursor`.
    pub(crate) fn read(&self) -> TokenStream {
        let (column, ty) = (&self.column, &self.ty);
        quote_spanned!(ty.span()=> let #column = <#ty as ::weir_guest::Read<'_>>::column(&mut __cursor)?;)
    }

    pub(crate) fn validity(&self) -> TokenStream {
        let (column, ty) = (&self.column, &self.ty);
        quote_spanned!(ty.span()=> <#ty as ::weir_guest::Read<'_>>::validity(&#column))
    }

    /// The value in row `__row`.
    pub(crate) fn get(&self) -> TokenStream {
        let (column, ty) = (&self.column, &self.ty);
        quote_spanned!(ty.span()=> <#ty as ::weir_guest::Read<'_>>::get(&#column, __row))
    }

    /// Takes the block of rows that starts with `__start`; its variable hides the column's.
    pub(crate) fn block(&self) -> TokenStream {
        let (column, ty) = (&self.column, &self.ty);
        quote_spanned!(ty.span()=> let #column = <#ty as ::weir_guest::Read<'_>>::block(&#column, __start);)
    }

    /// The value in row `__i` of the block.
    pub(crate) fn of(&self) -> TokenStream {
        let (column, ty) = (&self.column, &self.ty);
        quote_spanned!(ty.span()=> <#ty as ::weir_guest::Read<'_>>::of(#column, __i))
    }
}

/// The type with its lifetimes left to the compiler, for use in the body of another function.
pub(crate) fn anonymous(ty: &Type) -> Result<Type> {
    struct Anonymous(Option<Error>);
    impl VisitMut for Anonymous {
        fn visit_lifetime_mut(&mut self, lifetime: &mut syn::Lifetime) {
            if lifetime.ident != "static" {
                lifetime.ident = format_ident!("_", span = lifetime.ident.span());
            }
        }

        fn visit_type_impl_trait_mut(&mut self, ty: &mut syn::TypeImplTrait) {
            self.0 = Some(Error::new(ty.span(), "a column needs a concrete type, not `impl`"));
        }
    }
    let mut ty = ty.clone();
    let mut visitor = Anonymous(None);
    visitor.visit_type_mut(&mut ty);
    match visitor.0 {
        Some(error) => Err(error),
        None => Ok(ty),
    }
}

/// Refuses what no exported function can be.
pub(crate) fn check(signature: &Signature) -> Result<()> {
    let refuse = |span, message| Err(Error::new(span, message));
    if let Some(asyncness) = &signature.asyncness {
        return refuse(asyncness.span(), "a function of columns cannot be async");
    }
    if let Some(unsafety) = &signature.unsafety {
        return refuse(unsafety.span(), "a function of columns cannot be unsafe");
    }
    if let Some(param) = signature.generics.type_params().next() {
        return refuse(
            param.span(),
            "a function of columns cannot be generic: its columns have one type each",
        );
    }
    if let Some(param) = signature.generics.const_params().next() {
        return refuse(
            param.span(),
            "a function of columns cannot be generic: its columns have one type each",
        );
    }
    Ok(())
}
